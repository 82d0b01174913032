//! A disc whose GRUB does what a script says, without a menu: firmware that behaves oddly, made of real commands.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::lab::{run, text};

/// A disc for BIOS and both UEFIs, with `/vmlinuz` and `/boot.cpio.zst`.
pub(crate) struct GrubDisc(TempDir);

impl GrubDisc {
    /// With this kernel and this initramfs. `script` is GRUB's, and what the kernel has to be told is said there.
    pub(crate) fn new(kernel: &Path, initramfs: &Path, script: &str) -> Self {
        let disc = Self(tempfile::tempdir().unwrap());
        let content = disc.0.path().join("content");
        let loader = content.join("boot/grub");
        fs::create_dir_all(&loader).unwrap();
        fs::write(loader.join("grub.cfg"), script).unwrap();
        run(Command::new("grub-script-check").arg(loader.join("grub.cfg")));
        fs::copy(kernel, content.join("vmlinuz")).unwrap();
        fs::copy(initramfs, content.join("boot.cpio.zst")).unwrap();
        run(Command::new("grub-mkrescue").arg("-o").arg(disc.path()).arg(text(&content)));
        disc
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("disc.iso")
    }
}
