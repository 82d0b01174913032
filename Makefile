# Short named targets; each calls cargo or `phase`. The logic, and its help, live in Rust: `build/phase --help`.
# Variables: KERNEL_ROOT=DIR (an unpacked linux-image package), BATCH=1 (the demo ends by itself), SECONDS=N (fuzzing).

SHELL      := /bin/bash
TARGET     := x86_64-unknown-linux-musl
PHASE      := target/host/phase
INIT       := target/$(TARGET)/release/init
TOOLS      := build/tools
# What the demo and the tests need of Debian or Ubuntu. gcc and musl-tools link; the rest is run.
PACKAGES   := qemu-system-x86 mmdebstrap squashfs-tools-ng busybox-static kmod cpio zstd gcc libc6-dev
TEST_PACKAGES := $(PACKAGES) nginx-light dnsmasq-base iproute2 openssl curl g++ kexec-tools signify-openbsd util-linux
SUDO       := $(if $(filter 0,$(shell id -u)),,sudo)
KERNEL_OPTION := $(if $(KERNEL_ROOT),--kernel-root $(KERNEL_ROOT))

.DEFAULT_GOAL := help
.PHONY: help demo test size compare bench fuzz build lint deps test-deps tools clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

deps:
	@echo "Packages that this needs, installed by apt-get if they are missing: $(PACKAGES)"
	@dpkg -s $(PACKAGES) >/dev/null 2>&1 || { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES); }
	@rustup target list --installed | grep -qx $(TARGET) || rustup target add $(TARGET)

test-deps: deps
	@echo "Packages that the tests need besides: $(filter-out $(PACKAGES),$(TEST_PACKAGES))"
	@dpkg -s $(TEST_PACKAGES) >/dev/null 2>&1 || { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(TEST_PACKAGES); }

build: deps ## Build `phase` for this machine and the static musl `init`
	cargo build --profile host --package phase
	cargo build --release --package init --target $(TARGET)

demo: build ## Boot a signed Debian release end to end in QEMU, and hand over its console (BATCH=1: end by itself)
	$(PHASE) demo --init $(INIT) $(KERNEL_OPTION) $(if $(BATCH),--batch)
