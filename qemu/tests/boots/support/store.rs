//! Where machines of the tests remember: a disk image with a PHASE-DATA partition, and a TPM in software.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Ended, bound_to_us,
    lab::{run, text},
};

/// The PARTUUID that the boot initramfs of machines with a disk names.
pub(super) const PARTUUID: &str = "0b7b5b4e-9a1c-4d7e-8f00-112233445566";
/// First byte of the partition, and its length if nothing else is said.
const START: u64 = 1 << 20;
const SIZE: u64 = 6 << 20;
/// Bytes that a Debian's changes have room in.
const LARGE: u64 = 256 << 20;

/// A disk with a PHASE-DATA partition, which is kept from one boot to the next.
pub(crate) struct PhaseData(TempDir);

impl PhaseData {
    /// With an ext4 that holds nothing.
    pub(crate) fn ext4() -> Self {
        Self::with_ext4(None, SIZE)
    }

    /// With an ext4 that has room for what a Debian changes in its root.
    pub(crate) fn large() -> Self {
        Self::with_ext4(None, LARGE)
    }

    /// With an ext4 that holds these bytes as the state.
    pub(crate) fn holding(state: &[u8]) -> Self {
        Self::with_ext4(Some(state), SIZE)
    }

    fn with_ext4(state: Option<&[u8]>, size: u64) -> Self {
        let disk = Self::new(size);
        let content = disk.0.path().join("content");
        fs::create_dir(&content).unwrap();
        if let Some(state) = state {
            fs::write(content.join("state.json"), state).unwrap();
        }
        let (offset, size) = (format!("offset={START}"), format!("{}k", size / 1024));
        let mut mke2fs = Command::new("/usr/sbin/mke2fs");
        mke2fs.args(["-q", "-t", "ext4", "-E", &offset, "-d"]).arg(&content).arg(disk.path()).arg(size);
        run(&mut mke2fs);
        disk
    }

    /// With an empty vfat.
    pub(crate) fn vfat() -> Self {
        let disk = Self::new(SIZE);
        let part = disk.0.path().join("part");
        File::create(&part).unwrap().set_len(SIZE).unwrap();
        run(Command::new("/usr/sbin/mkfs.vfat").arg(&part));
        let mut image = File::options().write(true).open(disk.path()).unwrap();
        image.seek(SeekFrom::Start(START)).unwrap();
        image.write_all(&fs::read(part).unwrap()).unwrap();
        disk
    }

    /// With a partition and nothing on it.
    fn new(size: u64) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        File::create(disk.path()).unwrap().set_len(START + size + (1 << 20)).unwrap();
        let partition = format!("1:{}:{}", START / 512, (START + size) / 512 - 1);
        let mut sgdisk = Command::new("/usr/sbin/sgdisk");
        sgdisk.args(["-n", &partition, "-u", &format!("1:{PARTUUID}"), "-c", "1:PHASE-DATA"]).arg(disk.path());
        run(&mut sgdisk);
        disk
    }

    /// The image.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    /// The receipt that is kept of this version; on a vfat.
    #[track_caller]
    pub(crate) fn receipt(&self, version: u64) -> Value {
        let mut mcopy = Command::new("mcopy");
        mcopy.arg("-i").arg(format!("{}@@{START}", text(&self.path())));
        let output = mcopy.args([&format!("::receipts/{version}.json"), "-"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A TPM whose memory is kept from one boot to the next.
pub(crate) struct Tpm(TempDir);

impl Tpm {
    /// One that was never used.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// What its NV index holds, as swtpm keeps it: its 512 bytes, from the state's first byte on; nothing, if there is no
    /// state. (Counters of the TPM's own, beside it, change whenever it is switched on.)
    pub(crate) fn memory(&self) -> Vec<u8> {
        const STATE: &[u8] = b"{\"schema\":\"phase.state/1\"";
        let Ok(kept) = fs::read(self.0.path().join("tpm2-00.permall")) else { return Vec::new() };
        let start = kept.windows(STATE.len()).position(|window| window == STATE);
        start.map_or_else(Vec::new, |start| kept[start..start + 512].to_owned())
    }

    /// Switches it on for one boot: it ends with the machine that is plugged into it.
    pub(crate) fn powered(&self) -> PoweredTpm {
        let socket = self.0.path().join("socket");
        let swtpm = Path::new("/usr/bin/swtpm");
        assert!(swtpm.exists(), "swtpm is not installed: apt-get install swtpm");
        let (state, control) = (format!("dir={}", text(self.0.path())), format!("type=unixio,path={}", text(&socket)));
        let mut command = bound_to_us(swtpm);
        command.args(["socket", "--tpm2", "--tpmstate", &state, "--ctrl", &control]);
        let program = Ended(command.stdout(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_mins(1);
        while !socket.exists() {
            assert!(Instant::now() < deadline, "swtpm makes no {}", socket.display());
            thread::sleep(Duration::from_millis(20));
        }
        PoweredTpm { socket, program }
    }
}

/// A TPM that a machine can be plugged into.
pub(crate) struct PoweredTpm {
    socket: PathBuf,
    program: Ended,
}

impl PoweredTpm {
    /// Its control socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Breaks it: whatever it is asked from now on fails.
    pub(crate) fn dies(&mut self) {
        self.program.0.kill().unwrap();
        self.program.0.wait().unwrap();
    }

    /// Holds it: whatever it is asked from now on waits.
    pub(crate) fn hangs(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn goes_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        run(Command::new("kill").args(["-s", name, &self.program.0.id().to_string()]));
    }
}

impl Drop for PoweredTpm {
    fn drop(&mut self) {
        // The next one makes its own.
        let _ = fs::remove_file(&self.socket);
    }
}
