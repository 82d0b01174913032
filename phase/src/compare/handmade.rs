//! The baseline's release and its two initramfs, as the person who wrote the script would make them.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use initramfs::pack::{archive::Tree, compress, modules::KernelTree, sets};
use verify::Sha256Digest;

use super::bench::CMDLINE;
use crate::lab::{command, kernel::KernelRoot, tiny_root};

/// What the script fetches, in its order. The command line is a file like the others.
const FILES: [&str; 4] = ["kernel", "initramfs", "rootfs.squashfs", "cmdline"];

/// Stage two by hand: the same mounts as ours.
const STAGE_TWO: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin; export PATH=/bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
mark() { read -r up _ </proc/uptime; echo "baseline: $1 t=$up"; }
mark stage-two
modprobe -a loop squashfs overlay
mount -t squashfs -o loop,ro /phase/rootfs.squashfs /lower || { echo "baseline: fail squashfs"; poweroff -f; }
mount -t tmpfs tmpfs /upper; mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /sysroot
mark switch
for name in dev proc sys; do mount --move /$name /sysroot/$name; done
exec switch_root /sysroot /sbin/init
"#;

/// What the baseline is made from.
pub(super) struct Handmade<'a> {
    pub(super) kernel: &'a KernelRoot,
    pub(super) rootfs: &'a Path,
    /// Packs the boot initramfs.
    pub(super) script: &'a Path,
}

impl Handmade<'_> {
    /// Puts the signed release into `published` and returns the boot initramfs, made in `own`.
    pub(super) fn make(&self, own: &Path, published: &Path) -> anyhow::Result<PathBuf> {
        self.publish(published)?;
        let key = sign(own, published)?;
        let boot = own.join("baseline.cpio.zst");
        anyhow::ensure!(self.script.is_file(), "{} is missing: give it with --baseline", self.script.display());
        let mut pack = Command::new(fs::canonicalize(self.script)?);
        command::output(pack.args([self.kernel.root(), &key, &boot]))?;
        Ok(boot)
    }

    fn publish(&self, published: &Path) -> anyhow::Result<()> {
        let copy = |from: &Path, name: &str| {
            fs::copy(from, published.join(name)).with_context(|| format!("cannot copy {}", from.display()))
        };
        copy(&self.kernel.kernel(), "kernel")?;
        copy(self.rootfs, "rootfs.squashfs")?;
        fs::write(published.join("initramfs"), self.stage_two()?)?;
        fs::write(published.join("cmdline"), CMDLINE)?;
        let mut manifest = String::new();
        for name in FILES {
            let bytes = fs::read(published.join(name))?;
            writeln!(manifest, "{}  {name}", Sha256Digest::of(&bytes))?;
        }
        Ok(fs::write(published.join("manifest"), manifest)?)
    }

    fn stage_two(&self) -> anyhow::Result<Vec<u8>> {
        let busybox = tiny_root::static_busybox(Path::new(tiny_root::BUSYBOX))?;
        let mut tree = Tree::new();
        for directory in ["bin", "dev", "proc", "sys", "run", "lower", "upper", "sysroot"] {
            tree.directory(directory)?;
        }
        tree.char_device("dev/console", 0o600, (5, 1))?;
        tree.file("init", 0o755, STAGE_TWO)?;
        tree.file_from("bin/busybox", 0o755, &busybox)?;
        let kernel = KernelTree::open(self.kernel.root())?;
        kernel.select(&[sets::ROOT.name.to_owned()])?.add_to(&mut tree, false)?;
        let mut initramfs = compress::zstd(&tree.to_newc(0)?)?;
        // The script appends an archive as it is; the kernel looks for one at multiples of 4.
        initramfs.resize(initramfs.len().next_multiple_of(4), 0);
        Ok(initramfs)
    }
}

/// Signs the manifest with a key made for this run, and returns the public key.
fn sign(own: &Path, published: &Path) -> anyhow::Result<PathBuf> {
    let [public, secret] = ["pub", "sec"].map(|extension| own.join("baseline").with_extension(extension));
    for key in [&public, &secret] {
        // Of an earlier run; signify does not overwrite keys.
        let _ = fs::remove_file(key);
    }
    let signify = || command::find("signify-openbsd", "signify-openbsd");
    command::output(signify()?.args(["-G", "-n", "-p"]).arg(&public).arg("-s").arg(&secret))?;
    let (manifest, signed) = (published.join("manifest"), published.join("manifest.sig"));
    command::output(signify()?.args(["-S", "-e", "-s"]).arg(&secret).arg("-m").arg(&manifest).arg("-x").arg(&signed))?;
    Ok(public)
}
