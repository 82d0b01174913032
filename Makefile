# Short named targets; each calls cargo or `phase`. The logic, and its help, live in Rust: `build/phase --help`.
# Variables: KERNEL_ROOT=DIR (an unpacked linux-image package), TRUST=FILE and ORIGIN=URL (what `make images` builds in), BATCH=1 (the demo ends by itself), SECONDS=N (fuzzing).

SHELL      := /bin/bash
TARGET     := x86_64-unknown-linux-musl
ARM64      := aarch64-unknown-linux-musl
PHASE      := target/host/phase
INIT       := target/$(TARGET)/release/init
KERNEL     := build/kernel/cloud-amd64
TOOLS      := build/tools
# What the demo and the tests need of Debian or Ubuntu. gcc and libc6-dev link; the rest is run.
# uidmap lets mmdebstrap work for a user who is not root.
PACKAGES   := qemu-system-x86 mmdebstrap uidmap squashfs-tools-ng busybox-static kmod cpio zstd gcc libc6-dev
# What `phase image` runs.
IMAGE_PACKAGES := e2fsprogs mtools xorriso grub-common grub-pc-bin grub-efi-amd64-bin grub-efi-ia32-bin qemu-utils binutils binutils-aarch64-linux-gnu systemd-boot-efi
# What `make kernel` compiles with.
KERNEL_PACKAGES := make flex bison bc libelf-dev xz-utils
TEST_PACKAGES := $(PACKAGES) $(IMAGE_PACKAGES) nginx-light dnsmasq-base kea-dhcp4-server kea-dhcp6-server radvd iproute2 openssl curl g++ xz-utils kexec-tools signify-openbsd util-linux avahi-daemon avahi-utils dbus-daemon \
                 openssh-client minisign softhsm2 opensc xxd python3-venv gdisk fdisk dosfstools swtpm ovmf ovmf-ia32 sbsigntool shim-signed grub-efi-amd64-signed
# What only `make test-media` needs.
MEDIA_PACKAGES := $(TEST_PACKAGES) ipxe-qemu qemu-system-arm qemu-efi-aarch64 qemu-user-static arch-test
# One set of packages and features for all tests: for another one, cargo compiles dependencies again, which takes minutes.
HOST       := --profile host --workspace --features verify/cli
SECONDS    ?= 60
# A trust file of keys that are made for `make images`, if no other is named.
TRUST      ?= build/image-keys/trust.json
SUDO       := $(if $(filter 0,$(shell id -u)),,sudo)
# Packages of arm64, which are unpacked and not installed.
ARM64_PACKAGES := build/package/aarch64
IMAGE_KERNEL  := $(or $(KERNEL_ROOT),build/kernel/amd64)
KERNEL_OPTION := $(if $(KERNEL_ROOT),--kernel-root $(KERNEL_ROOT))

.DEFAULT_GOAL := help
.PHONY: help demo test test-network test-media test-scale images image-deps kernel kernel-deps size compare bench fuzz build build-arm64 images-arm64 lint deps test-deps media-deps tools dsse-peer clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

deps:
	@echo "Packages that this needs, installed by apt-get if they are missing: $(PACKAGES)"
	@dpkg -s $(PACKAGES) >/dev/null 2>&1 || { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES); }
	@rustup target list --installed | grep -qx $(TARGET) || rustup target add $(TARGET)

test-deps: deps
	@echo "Packages that the tests need besides: $(filter-out $(PACKAGES),$(TEST_PACKAGES))"
	@dpkg -s $(TEST_PACKAGES) >/dev/null 2>&1 || { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(TEST_PACKAGES); }

media-deps: test-deps
	@echo "Packages that the ways in need besides: $(filter-out $(TEST_PACKAGES),$(MEDIA_PACKAGES))"
	@dpkg -s $(MEDIA_PACKAGES) >/dev/null 2>&1 || { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(MEDIA_PACKAGES); }

image-deps: deps
	@echo "Packages that images need besides: $(filter-out $(PACKAGES),$(IMAGE_PACKAGES))"
	@dpkg -s $(IMAGE_PACKAGES) >/dev/null 2>&1 || { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(IMAGE_PACKAGES); }

kernel-deps: deps
	@echo "Packages that a kernel needs besides: $(KERNEL_PACKAGES)"
	@dpkg -s $(KERNEL_PACKAGES) >/dev/null 2>&1 || { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(KERNEL_PACKAGES); }

build: deps ## Build `phase` and `phase-verify` for this machine and the static musl `init`
	cargo build --profile host --package phase --package verify --features verify/cli
	cargo build --release --package init --target $(TARGET)

build-arm64: build ## Build the static musl `init` for arm64: no cross compiler is needed
	@rustup target list --installed | grep -qx $(ARM64) || rustup target add $(ARM64)
	cargo build --release --package init --target $(ARM64)

demo: build ## Boot a signed Debian release end to end in QEMU, and hand over its console (BATCH=1: end by itself)
	$(PHASE) demo --init $(INIT) $(KERNEL_OPTION) $(if $(BATCH),--batch)

images: image-deps build $(TRUST) ## Every way in to build/images: disk image, qcow2, ISO, UKI, network boot (TRUST=FILE, ORIGIN=URL, KERNEL_ROOT=DIR)
	$(if $(KERNEL_ROOT),,$(PHASE) lab kernel --flavour amd64)
	$(PHASE) image initramfs --force --stage boot --init $(INIT) --trust $(TRUST) $(if $(ORIGIN),--origin $(ORIGIN)) \
	  --kernel-root $(IMAGE_KERNEL) --modules net,root,media,disk,keyboard --out build/boot.cpio.zst
	$(PHASE) image all --force --kernel $(IMAGE_KERNEL)/boot/vmlinuz-* --initramfs build/boot.cpio.zst --out build/images

images-arm64: image-deps build-arm64 $(TRUST) ## The same for machines of arm64 with UEFI to build/images-arm64 (TRUST=FILE, ORIGIN=URL)
	$(PHASE) lab kernel --arch aarch64 --flavour arm64
	$(PHASE) lab package grub-efi-arm64-bin --arch aarch64
	$(PHASE) lab package systemd-boot-efi --arch aarch64
	$(PHASE) image initramfs --force --stage boot --init target/$(ARM64)/release/init --trust $(TRUST) $(if $(ORIGIN),--origin $(ORIGIN)) \
	  --kernel-root build/kernel/arm64 --modules net,root,media,disk,keyboard --out build/boot-arm64.cpio.zst
	$(PHASE) image all --force --kernel build/kernel/arm64/boot/vmlinuz-* --initramfs build/boot-arm64.cpio.zst --out build/images-arm64 \
	  --grub $(ARM64_PACKAGES)/grub-efi-arm64-bin/usr/lib/grub --stub $(ARM64_PACKAGES)/systemd-boot-efi/usr/lib/systemd/boot/efi/linuxaa64.efi.stub

kernel: kernel-deps build ## A small boot kernel of our own in build/kernel/phase-x86_64, from the fragments of kernel-configs/ (20 minutes to an hour, once)
	$(PHASE) lab build-kernel

build/image-keys/trust.json: | build
	$(PHASE) keygen --no-passphrase --out build/image-keys/root
	$(PHASE) keygen --no-passphrase --out build/image-keys/release
	$(PHASE) trust init --channel stable --root-key build/image-keys/root.pub --release-key build/image-keys/release.pub --out $@

test: test-deps tools dsse-peer lint ## Everything CI runs: format, lints, licences, docs, unit, namespaced, end-to-end and short fuzz runs
	cargo build --release --package init --target $(TARGET)
	cargo test $(HOST) --no-run
	$(PHASE) size --init $(INIT)
	$(PHASE) lab kernel
	KERNEL_ROOT=$(abspath $(KERNEL)) cargo test $(HOST) --lib -- --ignored
	cargo test $(HOST) -- --test-threads=2
	cargo test --profile host --package discover --test names --target $(TARGET) -- --nocapture # with the C library of init, where a panic ends the program at once
	$(MAKE) fuzz SECONDS=5

test-network: test-deps build ## Boot over every row of docs/testing.md: mode, source and fault; prints the table (a quarter of an hour)
	cargo test --profile host --package qemu --test network -- --include-ignored --test-threads=2

test-media: media-deps build-arm64 ## Every way in under every firmware, and media on every bus (docs/testing.md); prints the matrix (three quarters of an hour)
	cargo test --profile host --package qemu --test media -- --include-ignored --test-threads=2
	cargo test --profile host --package qemu --test boots -- --include-ignored --test-threads=2 media::

test-scale: test-deps build ## 200 clients at once on `phase serve` and on nginx; 20 machines that share a release, and 20 that do not
	cargo build --profile host --package discover --features cli
	cargo bench --profile host --package phase --bench serve
	cargo test --profile host --package init --test share -- --include-ignored --nocapture --test-threads=1 many::

lint: tools ## Formatting, clippy, and cargo-deny (bans, licences, sources)
	cargo fmt --all --check
	cargo clippy --quiet $(HOST) --all-targets -- -D warnings
	$(TOOLS)/bin/cargo-deny --all-features check bans licenses sources

fuzz: tools ## Run every fuzz target for SECONDS each (60)
	cd fuzz && for target in $$(PATH=$(abspath $(TOOLS)/bin):$$PATH cargo fuzz list); do \
	  PATH=$(abspath $(TOOLS)/bin):$$PATH cargo fuzz run --sanitizer none $$target -- -max_total_time=$(SECONDS) -verbosity=0 -print_final_stats=1 || exit 1; done

size: test-deps build ## Print the size of the boot initramfs without modules and what each feature costs, and fail over 1200 KiB
	@for feature in tls dht mdns; do \
	  others=$$(echo dht,mdns,tls, | sed "s/$$feature,//") && \
	  cargo build --release --package init --target $(TARGET) --no-default-features --features $$others --target-dir target/features && \
	  cp target/features/$(TARGET)/release/init build/init-without-$$feature || exit 1; done
	$(PHASE) size --init $(INIT) --without tls=build/init-without-tls --without dht=build/init-without-dht --without mdns=build/init-without-mdns

compare: test-deps build ## Run the hand-made baseline beside Phase Boot and print the ratios
	$(PHASE) compare --init $(INIT) $(KERNEL_OPTION)

bench: test-deps ## The figures: hashing, verifying a release, memory, and download with hashing
	cargo bench --package verify
	cargo bench --package init

tools: ## Install cargo-deny and cargo-fuzz below build/, and the toolchain's clippy and rustfmt
	@rustup component list --installed | grep -q clippy && rustup component list --installed | grep -q rustfmt || rustup component add clippy rustfmt
tools: $(TOOLS)/bin/cargo-deny $(TOOLS)/bin/cargo-fuzz

dsse-peer: build/securesystemslib/bin/python ## Install securesystemslib (Python), which the tests compare our envelopes with

build/securesystemslib/bin/python:
	/usr/bin/python3 -m venv build/securesystemslib
	build/securesystemslib/bin/pip install --quiet 'securesystemslib[crypto]==1.6.0' || { rm -rf build/securesystemslib; exit 1; }

# Their own release profiles take minutes to compile, for runs of seconds.
$(TOOLS)/bin/%:
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --quiet --debug --root $(TOOLS) $*

clean: ## Remove everything that was built
	rm -rf build target fuzz/target
