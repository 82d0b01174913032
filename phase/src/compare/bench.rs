//! The bench: everything that both chains boot, made once; and one boot of either.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use qemu::{Machine, Running};
use verify::Arch;

use super::{Args, handmade::Handmade, milestones::Milestones, step};
use crate::{
    boot,
    demo::{self, Packed},
    lab::{
        self,
        kernel::KernelRoot,
        tiny_root::{self, REACHED},
    },
    publish,
    serve::Server,
};

/// Memory of the timed runs in MiB.
pub(super) const MEMORY_MIB: u32 = 1024;
/// The root in bytes.
const ROOT_BYTES: u64 = 60_000_000;
/// Longest time of one boot; a machine that is out of memory may also just stand still.
const PATIENCE: Duration = Duration::from_secs(90);
/// The release's own part of its kernel's command line, the same for both.
pub(super) const CMDLINE: &str = "console=ttyS0 quiet panic=-1";
/// Where the releases stand below the server's root.
const OURS: &str = "ours";
const BASELINE: &str = "baseline";

/// One of the two that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    /// Phase Boot.
    Ours,
    /// The script made by hand.
    Baseline,
}

impl Chain {
    /// In the order in which they take turns.
    pub(super) const BOTH: [Self; 2] = [Self::Ours, Self::Baseline];

    /// What a person calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "phase boot",
            Self::Baseline => "baseline",
        }
    }
}

/// What is booted, and the server that has the releases.
pub(super) struct Bench {
    kernel: PathBuf,
    ours: PathBuf,
    baseline: PathBuf,
    server: Server,
}

impl Bench {
    /// Makes both releases and both boot initramfs, and serves the releases.
    pub(super) fn prepare(args: &Args) -> anyhow::Result<Self> {
        let own = args.dir.join("compare");
        let web = own.join("web");
        let [tree, published] = [OURS, BASELINE].map(|name| web.join(name));
        fs::create_dir_all(&published).with_context(|| format!("cannot make {}", published.display()))?;
        step("the kernel and a root of 60 MB");
        let kernel = if let Some(root) = &args.kernel_root {
            KernelRoot::open(root)?
        } else {
            let flavour = lab::kernel::default_flavour(Arch::COMPILED);
            lab::kernel::fetch(Arch::COMPILED, &flavour, &args.dir.join("kernel"))?
        };
        let rootfs = own.join("rootfs.squashfs");
        tiny_root::make(Arch::COMPILED, &rootfs, Some(ROOT_BYTES))?;
        step("the release and the boot initramfs of Phase Boot");
        let ours = ours(&args.init, &kernel, &rootfs, &own, &tree)?;
        step("the release and the boot initramfs of the baseline");
        let handmade = Handmade { kernel: &kernel, rootfs: &rootfs, script: &args.baseline };
        let baseline = handmade.make(&own, &published)?;
        let server = boot::serve_to_guest(&web)?;
        Ok(Self { kernel: kernel.kernel(), ours, baseline, server })
    }

    /// Boots `chain` once, to the end of its release.
    pub(super) fn boot(&self, chain: Chain, cpus: u32) -> anyhow::Result<Milestones> {
        let mut running = self.machine(chain, cpus, MEMORY_MIB).start()?;
        let release = running.wait_for_text(REACHED, PATIENCE).with_context(|| chain.name())?;
        Milestones::of(chain, &running.transcript(), release.at)
    }

    /// Whether `chain` reaches its release with so much memory.
    pub(super) fn boots_with(&self, chain: Chain, memory_mib: u32) -> anyhow::Result<bool> {
        let mut running = self.machine(chain, 1, memory_mib).start()?;
        reached(&mut running)
    }

    fn machine(&self, chain: Chain, cpus: u32, memory_mib: u32) -> Machine {
        let base = |directory: &str| format!("http://10.0.2.2:{}/{directory}", self.server.address().port());
        let machine = match chain {
            // A failed attempt is the answer; nothing is to be tried again.
            Chain::Ours => Machine::new(&self.kernel, &self.ours)
                .append(&format!("phase.mode=internet phase.origin={} phase.on_failure=poweroff", base(OURS))),
            Chain::Baseline => Machine::new(&self.kernel, &self.baseline).append(&format!("base={}", base(BASELINE))),
        };
        machine.cpus(cpus).memory_mib(memory_mib).append("quiet panic=-1")
    }
}

/// Whether the release's line comes before the machine ends, restarts or stands still.
fn reached(running: &mut Running) -> anyhow::Result<bool> {
    match running.wait_for_text(REACHED, PATIENCE) {
        Ok(_) => Ok(true),
        Err(qemu::Error::Ended { .. } | qemu::Error::Timeout { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Publishes our release in `tree` and returns the boot initramfs, which has the same drivers as the baseline's.
fn ours(init: &Path, kernel: &KernelRoot, rootfs: &Path, own: &Path, tree: &Path) -> anyhow::Result<PathBuf> {
    let (boot, initramfs) = (own.join("boot.cpio.zst"), own.join("release.cpio.zst"));
    let key = demo::keys(own)?;
    let trust = demo::trust_file(own);
    demo::pack(init, kernel, Packed::Release, &initramfs)?;
    let files = demo::Files { kernel: kernel.kernel(), initramfs, rootfs: rootfs.to_owned() };
    let release = demo::release(files, key, trust.clone(), tree.to_owned())?;
    publish::publish(&publish::Args { cmdline: CMDLINE.to_owned(), ..release })?;
    demo::pack(init, kernel, Packed::Boot { trust: &trust, modules: "qemu-net" }, &boot)?;
    Ok(boot)
}
