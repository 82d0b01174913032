//! A link with machines, and the origin behind a slow cable.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use verify::Sha256Digest;

use crate::host::Job;
use crate::namespaces::{Helper, ip, run, said_inside};
use crate::{nginx, release};

/// Bytes of a piece.
pub(crate) const PIECE: usize = 1 << 20;
/// Where the origin serves.
pub(crate) const ORIGIN: &str = "http://10.77.0.1:8000";

/// Runs this test again in new namespaces; `true` inside of them. What was measured there is said here.
pub(crate) fn inside(test: &str) -> bool {
    let said = said_inside(test);
    said.iter()
        .flat_map(|said| said.lines())
        .filter(|line| line.contains("times the release"))
        .for_each(|line| println!("{line}"));
    said.is_none()
}

/// A namespace with a cable to the link.
pub(crate) struct Place(Helper);

impl Place {
    /// That of a process in a namespace of its own, whose end of the cable is `eth0`.
    fn new(number: usize, bridge: &str, holder: Helper) -> Self {
        let place = Self(holder);
        ip(&format!("link add to{number} type veth peer name eth0 netns {}", place.0.0.id()));
        ip(&format!("link set to{number} master {bridge} up"));
        place
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        self.0.command(program)
    }

    /// A machine behind this one, at .2 of a network of its own.
    pub(crate) fn behind(&self, network: &str) -> Self {
        let far = Self(Helper::apart());
        self.run(&format!("ip link add far0 type veth peer name eth0 netns {}", far.0.0.id()));
        self.run(&format!("ip address add {network}.1/24 dev far0"));
        self.run("ip link set far0 up");
        far.run(&format!("ip address add {network}.2/24 dev eth0"));
        far.run("ip link set eth0 up");
        far.run(&format!("ip route add default via {network}.1"));
        far
    }

    /// A program in this namespace.
    pub(crate) fn run(&self, line: &str) -> String {
        let mut words = line.split(' ');
        run(self.command(words.next().unwrap()).args(words))
    }
}

/// A machine that runs.
pub(crate) struct Machine {
    pub(crate) place: Place,
    job: Job,
}

impl Machine {
    /// What its console shows.
    pub(crate) fn says(&self) -> String {
        fs::read_to_string(&self.job.console).unwrap()
    }

    /// Waits until its console shows this.
    pub(crate) fn wait_for(&mut self, text: &str, longest: Duration) {
        self.wait_until(&format!("{text:?}"), longest, |says| says.contains(text));
    }

    /// Waits until what its console shows `has` what is wanted.
    pub(crate) fn wait_until(&mut self, wanted: &str, longest: Duration, has: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        while !has(&self.says()) {
            let ended = self.place.0.0.try_wait().unwrap().filter(|status| !status.success());
            assert!(ended.is_none() && begin.elapsed() < longest, "never {wanted} ({ended:?}):\n{}", self.says());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The link: a bridge, the origin behind a cable of a certain rate, and machines.
pub(crate) struct Lan {
    pub(crate) origin: Place,
    files: tempfile::TempDir,
    server: Option<Helper>,
    machines: usize,
}

impl Lan {
    /// A link whose origin can send `mbit` Mbit/s and has [`publish`]ed what is in its tree.
    pub(crate) fn new(mbit: u32) -> Self {
        ip("link add br0 type bridge mcast_snooping 0");
        ip("link set br0 up");
        let origin = Place::new(1, "br0", Helper::apart());
        origin.run("ip address add 10.77.0.1/24 dev eth0");
        origin.run("ip link set eth0 up");
        let lan = Self { origin, files: tempfile::tempdir().unwrap(), server: None, machines: 1 };
        lan.rate(mbit);
        lan
    }

    /// From now on the origin can send `mbit` Mbit/s.
    pub(crate) fn rate(&self, mbit: u32) {
        self.origin.run(&format!("tc qdisc replace dev eth0 root tbf rate {mbit}mbit burst 256k latency 500ms"));
    }

    /// Where the origin's files are.
    pub(crate) fn tree(&self) -> PathBuf {
        self.files.path().join("tree")
    }

    /// Serves the tree.
    pub(crate) fn serve(&mut self) {
        let folder = self.files.path();
        let http = format!("access_log off; server {{ listen 10.77.0.1:8000; root {}; }}", self.tree().display());
        let mut nginx = self.origin.command("nginx");
        nginx.args(["-e", "stderr", "-c"]).arg(nginx::configured(folder, &http));
        let mut server = Helper::start(&mut nginx);
        assert!(nginx::listens(&mut server.0, folder), "nginx ended");
        self.server = Some(server);
    }

    /// Ends the origin for good.
    pub(crate) fn cut_off(&mut self) {
        self.origin.run("ip link set eth0 down");
        self.server = None;
    }

    /// Bytes that the origin's cable carried to the link, frames and all.
    pub(crate) fn sent(&self) -> u64 {
        let said = self.origin.run("ip -s -j link show dev eth0");
        let counters: Value = serde_json::from_str(&said).unwrap();
        counters[0]["stats64"]["tx"]["bytes"].as_u64().unwrap()
    }

    /// Another machine; Local mode without origins.
    pub(crate) fn machine(&mut self, test: &str, origins: &[&str], share: bool) -> Machine {
        self.start(test, origins, share, None)
    }

    /// A machine that has nothing, says on the link that it has everything, and gives wrong bytes.
    pub(crate) fn liar(&mut self, test: &str) -> Machine {
        let tree = self.tree();
        self.start(test, &[], true, Some(tree))
    }

    fn start(&mut self, test: &str, origins: &[&str], share: bool, lies_about: Option<PathBuf>) -> Machine {
        self.machines += 1;
        let number = self.machines;
        let console = self.files.path().join(format!("console{number}"));
        fs::write(&console, "").unwrap();
        let origins = origins.iter().map(|&url| url.to_owned()).collect();
        let job = Job { address: format!("10.77.0.{number}"), origins, share, console, lies_about };
        let (name, value) = job.variable();
        let mut command = Command::new("unshare");
        command.arg("--net").arg(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--test-threads=1", "--include-ignored"]).env(name, value);
        Machine { place: Place::new(number, "br0", Helper::start_apart(&mut command)), job }
    }

    /// A namespace on the link that does nothing by itself, and forwards what is not for it.
    pub(crate) fn router(&mut self) -> Place {
        self.machines += 1;
        let place = Place::new(self.machines, "br0", Helper::apart());
        place.run(&format!("ip address add 10.77.0.{}/24 dev eth0", self.machines));
        place.run("ip link set eth0 up");
        place.run("sysctl -qw net.ipv4.ip_forward=1");
        place
    }
}

/// A release whose root has `mib` pieces, in a tree. Gives the bytes of all of it.
pub(crate) fn publish(tree: &Path, mib: usize) -> u64 {
    let blobs = tree.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Sha256Digest::of(bytes).to_string();
        fs::write(blobs.join(&digest), bytes).unwrap();
        digest
    };
    let artifact = |name: &str, seed: usize, pieces: usize, listed: bool| {
        let bytes = content(seed, pieces);
        let digests: Vec<_> = bytes.chunks(PIECE).map(Sha256Digest::of).collect();
        let list: Vec<u8> = digests.iter().flat_map(|digest| digest.0).collect();
        let inline: Vec<_> = digests.iter().map(ToString::to_string).collect();
        let chunks = if listed { json!({"list_sha256": put(&list)}) } else { json!(inline) };
        json!({"name": name, "size": bytes.len(), "sha256": put(&bytes), "chunk_size": PIECE, "chunks": chunks})
    };
    let mut manifest = release::manifest();
    manifest["kernel"] = artifact("vmlinuz", 1, 8, false);
    manifest["kernel"]["init_size"] = json!(45_000_000);
    manifest["initramfs"] = artifact("initramfs", 2, 2, false);
    manifest["initramfs"]["unpacked_size"] = json!(5_000_000);
    manifest["rootfs"] = artifact("root", 3, mib, true);
    manifest["handoff"] = json!(["kexec"]);
    let directory = tree.join("demo/x86_64");
    fs::create_dir_all(&directory).unwrap();
    let envelope = release::envelope(release::MANIFEST_TYPE, manifest.to_string().as_bytes(), &[1]);
    fs::write(directory.join("manifest.dsse.json"), envelope).unwrap();
    ["kernel", "initramfs", "rootfs"].iter().map(|name| manifest[name]["size"].as_u64().unwrap()).sum()
}

/// Bytes that differ from piece to piece; the last piece is short.
pub(crate) fn content(seed: usize, pieces: usize) -> Vec<u8> {
    (0..pieces * PIECE - 77).map(|n| (seed ^ n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect()
}
