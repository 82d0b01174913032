//! `phase demo`: the whole chain with real parts, from keys to a login prompt; what a person does once, done in order.
//!
//! Every step is the subcommand of the same name, called in this process. Nothing outside the build folder changes. What
//! takes long (kernel, root) is made once; what is quick (keys aside) is made anew each time, from the `init` of now.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use qemu::Machine;
use verify::{Arch, Channel, Handoff, LIMITS, Reaction};

use crate::{
    announce,
    boot::{self, Output, Until},
    clock,
    image::{self, InitramfsArgs, Settings, StageName},
    keygen,
    lab::{self, kernel::KernelRoot},
    publish,
    signer::Signers,
    trust,
};

/// The line of releases of the demo.
const CHANNEL: &str = "demo";

/// The release's part of its kernel's command line: systemd shows its units, the kernel its problems only, and a busy host's
/// late timers are none ([`qemu::machine::NO_TIMER_CHECK`]).
const CMDLINE: &str = "quiet systemd.show_status=yes no_timer_check";

/// Boots a signed Debian release end to end: keys, release, server, QEMU, stage one, kexec, stage two, login.
#[derive(clap::Args)]
#[command(after_help = "\
Ends with the console of the guest: log in as root, look around, `poweroff`; then the table of stages. With --batch it
ends by itself at the login prompt, with exit status 0 if that was reached.

Examples:
  phase demo
  phase demo --batch --json
  KERNEL_ROOT=/srv/kernel phase demo --memory 2048")]
pub struct Args {
    /// The static program `init`
    #[arg(long, value_name = "FILE", default_value = "target/x86_64-unknown-linux-musl/release/init")]
    pub init: PathBuf,
    /// A kernel root to use in place of Debian's package; see `phase lab kernel`
    #[arg(long, value_name = "DIR", env = "KERNEL_ROOT")]
    pub kernel_root: Option<PathBuf>,
    /// Debian's kernel package: what follows `linux-image-` in its name
    #[arg(long, value_name = "NAME", default_value_t = lab::kernel::default_flavour(Arch::COMPILED), conflicts_with = "kernel_root")]
    pub flavour: String,
    /// Where everything is made
    #[arg(long, value_name = "DIR", default_value_os_t = lab::build_directory())]
    pub dir: PathBuf,
    /// The guest's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub memory: u32,
    /// End by itself at the login prompt
    #[arg(long)]
    pub batch: bool,
    /// In batch: give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "batch")]
    pub timeout: u64,
    /// The table as JSON on standard output, everything else on standard error
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.init.is_file(),
        "{} is missing: cargo build --release --package init --target x86_64-unknown-linux-musl",
        args.init.display()
    );
    let demo = Demo::prepare(args)?;
    step("starting the machine");
    let server = boot::serve_to_guest(&demo.tree)?;
    let machine = Machine::new(&demo.kernel.kernel(), &demo.boot_initramfs)
        .memory_mib(args.memory)
        .append("quiet panic=-1 phase.mode=internet")
        .append(&boot::origin_parameter(&server));
    let output = if args.json { Output::Stderr } else { Output::Stdout };
    let report = if args.batch {
        boot::batch(&machine, &Until::Login, Duration::from_secs(args.timeout), output)?
    } else {
        boot::interactive(&machine, output)?
    };
    report.print(args.json);
    Ok(report.exit_code())
}

fn step(what: &str) {
    eprintln!("phase demo: {what}");
}

/// What the machine needs.
struct Demo {
    kernel: KernelRoot,
    boot_initramfs: PathBuf,
    tree: PathBuf,
}

impl Demo {
    fn prepare(args: &Args) -> anyhow::Result<Self> {
        step("the kernel");
        let kernel = match &args.kernel_root {
            Some(root) => KernelRoot::open(root)?,
            None => lab::kernel::fetch(Arch::COMPILED, &args.flavour, &args.dir.join("kernel"))?,
        };
        step("the release's root: a Debian system (minutes, the first time)");
        let rootfs = args.dir.join("rootfs.squashfs");
        lab::rootfs::make(&kernel, None, &rootfs, false)?;

        let own = args.dir.join("demo");
        fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
        step("keys and the trust file");
        let key = keys(&own)?;
        step("the release's initramfs, and the release signed and published");
        let initramfs = own.join("release.cpio.zst");
        pack(&args.init, &kernel, Packed::Release, &initramfs)?;
        let tree = own.join("tree");
        let files = Files { kernel: kernel.kernel(), initramfs, rootfs };
        publish::publish(&release(files, key, trust_file(&own), tree.clone())?)?;
        step("the boot initramfs");
        let boot_initramfs = own.join("boot.cpio.zst");
        pack(&args.init, &kernel, Packed::Boot { trust: &trust_file(&own), modules: "net" }, &boot_initramfs)?;
        Ok(Self { kernel, boot_initramfs, tree })
    }
}

pub(crate) fn trust_file(own: &Path) -> PathBuf {
    own.join("trust.json")
}

/// Makes the demo's keys and trust file unless they are there, and returns the release key.
pub(crate) fn keys(own: &Path) -> anyhow::Result<PathBuf> {
    let [root, release] = ["root", "release"].map(|role| own.join("keys").join(role));
    for key in [&root, &release] {
        if !key.exists() {
            keygen::generate(&keygen::Args { out: key.clone(), no_passphrase: true, json: false })?;
        }
    }
    trust::init(&trust::InitArgs {
        channel: CHANNEL.parse()?,
        root_key: vec![keygen::public_path(&root)],
        root_threshold: 1,
        release_key: vec![keygen::public_path(&release)],
        release_threshold: 1,
        allow_shared_key: false,
        minimum_version: 0,
        expiry: Reaction::Refuse,
        rescue_prompt: true,
        state: Reaction::Warn,
        max_validity_days: LIMITS.validity_days,
        logging: trust::Logging::default(),
        epoch: 1,
        built: None,
        out: trust_file(own),
        force: true,
        json: false,
    })?;
    Ok(release)
}

#[derive(Clone, Copy)]
pub(crate) enum Packed<'a> {
    /// Of stage one, with the drivers of a set.
    Boot { trust: &'a Path, modules: &'static str },
    /// Of the release, with what its root needs.
    Release,
}

pub(crate) fn pack(init: &Path, kernel: &KernelRoot, what: Packed, out: &Path) -> anyhow::Result<()> {
    let (stage, trust, modules) = match what {
        Packed::Boot { trust, modules } => (StageName::Boot, Some(trust.to_owned()), modules),
        Packed::Release => (StageName::Root, None, "root"),
    };
    image::initramfs(&InitramfsArgs {
        init: init.to_owned(),
        stage,
        trust,
        config: None,
        settings: Settings::default(),
        tls_roots: None,
        kernel_root: Some(kernel.root().to_owned()),
        modules: vec![modules.to_owned()],
        keep_compressed: false,
        mtime: 0,
        out: out.to_owned(),
        force: true,
        json: false,
    })?;
    Ok(())
}

/// What a release is made of.
pub(crate) struct Files {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
    pub(crate) rootfs: PathBuf,
}

pub(crate) fn release(files: Files, key: PathBuf, trust: PathBuf, tree: PathBuf) -> anyhow::Result<publish::Args> {
    let channel: Channel = CHANNEL.parse()?;
    Ok(publish::Args {
        tree,
        channel,
        arch: Arch::COMPILED,
        // Each run is a newer release: its version is the time.
        version: clock::now().unix(),
        signers: Signers::of_key(key),
        kernel: Some(files.kernel),
        initramfs: Some(files.initramfs),
        rootfs: Some(files.rootfs),
        cmdline: CMDLINE.to_owned(),
        init: "/sbin/init".to_owned(),
        handoff: vec![Handoff::Kexec],
        upper: None,
        min_epoch: 1,
        expires_days: 30,
        issued: None,
        trust: Some(trust),
        unsigned: None,
        dht: announce::Dht::default(),
        allow_older: false,
        prune: true,
        json: false,
    })
}
