//! `phase lab tiny-root`: a root file system whose init says that it was reached, and powers off.
//!
//! One static busybox and a script of a few lines; with `--size` padded by data that no compressor makes smaller. The
//! same arguments and the same busybox give the same bytes.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use initramfs::pack::elf;
use sha2::{Digest, Sha256};
use verify::Arch;

use super::{command, package};
use crate::output::{self, Existing};

/// The first line that the release prints; tests wait for it.
pub const REACHED: &str = "phase-test: release pid 1 reached";

/// The release's init. With the word `acknowledge` on its command line it finds itself healthy. `poweroff -f` asks the
/// kernel itself, there is no other init to ask.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
echo "phase-test: release pid $$ reached"
echo "phase-test: kernel $($b uname -r)"
echo "phase-test: cmdline $($b cat /proc/cmdline)"
echo "phase-test: receipt $($b cat /run/phase/receipt.json 2>&1)"
for pcr in /sys/class/tpm/tpm0/pcr-*/14; do
[ -e "$pcr" ] && echo "phase-test: register $pcr:$($b cat "$pcr")"
done
[ -e /run/phase/measured.log ] && echo "phase-test: measured $($b base64 -w 0 /run/phase/measured.log)"
case " $($b cat /proc/cmdline) " in
*" acknowledge "*) echo "phase-test: $(/run/phase/acknowledge 2>&1)" ;;
esac
echo written >/etc/phase-test && echo "phase-test: the root takes writes"
$b poweroff -f
"#;

/// Where the files stand and what stage two and the init mount over.
const DIRECTORIES: [&str; 9] = ["bin", "dev", "etc", "proc", "run", "sbin", "sys", "tmp", "var"];

/// Where Debian puts the static busybox.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// Makes a small squashfs whose init prints one line and powers off.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  phase lab tiny-root --out build/tiny.squashfs
  phase lab tiny-root --out build/60m.squashfs --size 60
  phase lab tiny-root --out build/arm64.squashfs --arch aarch64    # Debian's busybox")]
pub struct Args {
    /// Where the squashfs goes; a file there is replaced
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Pad to about so many MB (10^6 bytes)
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=2000))]
    pub size: Option<u64>,
    /// The architecture: `x86_64` or `aarch64`; the host's own if not given
    #[arg(long, default_value_t = Arch::COMPILED)]
    pub arch: Arch,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    make(args.arch, &args.out, args.size.map(|megabytes| megabytes * 1_000_000))?;
    println!("{}  {} bytes", args.out.display(), fs::metadata(&args.out)?.len());
    Ok(ExitCode::SUCCESS)
}

/// Makes the root at `out`, of about `size` bytes if that is more than it needs.
pub fn make(arch: Arch, out: &Path, size: Option<u64>) -> anyhow::Result<()> {
    let busybox = match arch {
        Arch::COMPILED => static_busybox(Path::new(BUSYBOX))?,
        other => {
            let (_, root) = package::fetch("busybox-static", other, &package::default_out())?;
            // gensquashfs takes paths relative to its list.
            static_busybox(&root.canonicalize()?.join(BUSYBOX.trim_start_matches('/')))?
        }
    };
    let directory = tempfile::tempdir()?;
    let image = directory.path().join("root.squashfs");
    pack(directory.path(), &busybox, None, &image)?;
    let padding = size.unwrap_or_default().saturating_sub(fs::metadata(&image)?.len());
    if padding > 0 {
        let file = directory.path().join("padding");
        write_padding(&file, padding)?;
        pack(directory.path(), &busybox, Some(&file), &image)?;
    }
    let mut file = output::temporary_beside(out)?;
    std::io::copy(&mut File::open(&image)?, &mut file)?;
    output::persist(file, out, 0o644, Existing::Replace)
}

fn pack(directory: &Path, busybox: &Path, padding: Option<&Path>, image: &Path) -> anyhow::Result<()> {
    let init = directory.join("init");
    fs::write(&init, INIT)?;
    let directories = DIRECTORIES.map(|name| format!("dir /{name} 0755 0 0\n"));
    let files = [("/bin/busybox", Some(busybox)), ("/sbin/init", Some(init.as_path())), ("/padding", padding)];
    let files = files.into_iter().filter_map(|(name, source)| Some((name, source?)));
    let files = files.map(|(name, source)| format!("file {name} 0755 0 0 {}\n", source.display()));
    let list: String = directories.into_iter().chain(files).collect();
    let listing = directory.join("list");
    fs::write(&listing, list)?;
    let mut gensquashfs = command::find("gensquashfs", "squashfs-tools-ng")?;
    gensquashfs.args(["--force", "--quiet", "--compressor", "zstd", "--defaults", "mtime=0", "--pack-file"]);
    command::output(gensquashfs.arg(&listing).arg(image))?;
    Ok(())
}

/// SHA-256 in counter mode: the same on every host, and nothing compresses it.
fn write_padding(path: &Path, length: u64) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut left = length;
    for counter in 0_u64.. {
        let block = Sha256::digest(counter.to_le_bytes());
        let take = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(&block[..take])?;
        left -= take as u64;
        if left == 0 {
            break;
        }
    }
    file.flush().context("cannot write the padding")
}

/// A dynamically linked busybox would need a loader and libraries that this root does not have.
pub(crate) fn static_busybox(path: &Path) -> anyhow::Result<PathBuf> {
    const ADVICE: &str = "apt-get install busybox-static";
    let bytes = fs::read(path).with_context(|| format!("{} is not installed: {ADVICE}", path.display()))?;
    // The dynamic one has another package; elf's own advice is for programs of ours.
    let usable = elf::check_static(&bytes).is_ok();
    anyhow::ensure!(usable, "{} is not statically linked: {ADVICE}", path.display());
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_prints_the_line_that_tests_wait_for() {
        assert!(INIT.contains(&REACHED.replace("pid 1", "pid $$")));
    }

    #[test]
    fn padding_is_reproducible_and_exact() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("padding");
        write_padding(&path, 100).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 100);
        assert_eq!(bytes[..4], [0xaf, 0x55, 0x70, 0xf5], "SHA-256 of eight zero bytes");
    }

    #[test]
    fn a_dynamic_program_is_refused() {
        let error = static_busybox(Path::new("/bin/sh")).unwrap_err().to_string();
        assert!(error.contains("not statically linked: apt-get install busybox-static"), "{error}");
        let error = format!("{:#}", static_busybox(Path::new("/nowhere/busybox")).unwrap_err());
        assert!(error.contains("not installed"), "{error}");
    }

    #[test]
    fn a_size_is_reached_and_the_bytes_are_the_same_again() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second] = ["a", "b"].map(|name| directory.path().join(name));
        make(Arch::COMPILED, &first, Some(3_000_000)).unwrap();
        make(Arch::COMPILED, &second, Some(3_000_000)).unwrap();
        let bytes = fs::read(&first).unwrap();
        assert!((2_990_000..3_050_000).contains(&bytes.len()), "{} bytes", bytes.len());
        assert_eq!(bytes, fs::read(&second).unwrap());
    }
}
