//! What the system gets beside its packages: a name, DHCP, a word of welcome, and the kernel's modules.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::Context;

use crate::lab::{command, kernel::KernelRoot};

/// Path, permissions, content.
const FILES: [(&str, u32, &str); 7] = [
    ("etc/hostname", 0o644, "phase-demo\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n127.0.1.1 phase-demo\n::1 localhost ip6-localhost\n"),
    (
        "etc/issue",
        0o644,
        "\nPhase Boot demo: Debian on \\n, kernel \\r.\nLog in as root, no password; `poweroff` ends.\n\n",
    ),
    ("etc/systemd/network/80-dhcp.network", 0o644, "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n"),
    // The login waits for udev to show the serial port; systemd's own 90 s are too few for a busy, emulated machine.
    ("etc/systemd/system.conf.d/slow-machine.conf", 0o644, "[Manager]\nDefaultDeviceTimeoutSec=600\n"),
    // As new as /usr: nothing is left for systemd to do at its first boot (ConditionNeedsUpdate), and every boot of a
    // root in RAM is a first one. An emulated machine was busy with ldconfig for more than a minute.
    ("etc/.updated", 0o644, ""),
    ("var/.updated", 0o644, ""),
];

/// Drivers for what the demo's machine does not have: two thirds of the generic kernel's modules.
const LEFT_OUT: [&str; 12] = [
    "kernel/sound",
    "kernel/drivers/comedi",
    "kernel/drivers/gpu/drm/amd",
    "kernel/drivers/gpu/drm/i915",
    "kernel/drivers/gpu/drm/nouveau",
    "kernel/drivers/gpu/drm/radeon",
    "kernel/drivers/iio",
    "kernel/drivers/infiniband",
    "kernel/drivers/isdn",
    "kernel/drivers/media",
    "kernel/drivers/net/wireless",
    "kernel/drivers/staging",
];

/// Everything here that decides what the system becomes.
pub(super) fn inputs() -> impl Iterator<Item = &'static str> {
    FILES.iter().flat_map(|(path, _, content)| [*path, *content]).chain(LEFT_OUT)
}

/// Writes the tar `out`; `work` is a folder for its parts, `epoch` the time of every file in it.
pub(super) fn write(kernel: &KernelRoot, work: &Path, out: &Path, epoch: &str) -> anyhow::Result<()> {
    let tree = work.join("overlay");
    for (path, mode, content) in FILES {
        let path = tree.join(path);
        make_parent(&path)?;
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    // A merged /usr: lib is a link there, and an archive with a folder `lib` would take its place.
    let modules = tree.join("usr/lib/modules").join(kernel.version());
    copy_modules(&kernel.modules(), &modules, Path::new(""))?;
    command::output(command::find("depmod", "kmod")?.arg("-b").arg(tree.join("usr")).arg(kernel.version()))?;

    let mut tar = command::find("tar", "tar")?;
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u+w,go-w,a+rX"]);
    tar.arg(format!("--mtime=@{epoch}"));
    command::output(tar.arg("-C").arg(&tree).arg("-cf").arg(out).args(["etc", "usr", "var"]))?;
    // In unshare mode mmdebstrap reads it as another user.
    fs::set_permissions(out, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

/// Copies what is under `from` but the folders left out; `inside` is the path from the top.
fn copy_modules(from: &Path, to: &Path, inside: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, inside) = (entry.path(), inside.join(entry.file_name()));
        let target = to.join(entry.file_name());
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            if !LEFT_OUT.iter().any(|left_out| inside == Path::new(left_out)) {
                copy_modules(&source, &target, &inside)?;
            }
        } else if metadata.is_file() {
            fs::copy(&source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
        }
        // `build` and `source` are links to what is not there.
    }
    Ok(())
}

fn make_parent(path: &Path) -> anyhow::Result<()> {
    let parent = path.parent().context("a path of ours has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_left_out_are_not_copied() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        for file in ["kernel/sound/a.ko", "kernel/drivers/sound/b.ko", "modules.order"] {
            let path = from.join(file);
            make_parent(&path).unwrap();
            fs::write(path, "x").unwrap();
        }
        std::os::unix::fs::symlink("/nowhere", from.join("build")).unwrap();
        copy_modules(&from, &to, Path::new("")).unwrap();
        assert!(to.join("kernel/drivers/sound/b.ko").is_file() && to.join("modules.order").is_file());
        assert!(!to.join("kernel/sound").exists() && to.join("build").symlink_metadata().is_err());
    }
}
