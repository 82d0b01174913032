//! Where private mode looks for releases: media that are plugged into this machine, and what its initramfs carries.
//!
//! A medium is a disk or partition whose file system has the label [`LABEL`]; [`search`] reads the first bytes of every other
//! one and nothing more. Nothing that is found here is believed: the newest *verified* version wins, and that is decided
//! elsewhere. Not one byte of any device changes ([`crate::file_system`]), and the search ends by its deadline even if a
//! device never answers: each is looked at on a thread of its own.

mod medium;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use discover::{Candidate, Gathered};
use rustix::io::Errno;

pub use self::medium::{Medium, MediumError, NoMedium};
use crate::block_devices::{self, Device};
use crate::file_system::{FileSystem, Superblock, Volume};
use crate::modules;
use crate::store::Access;

/// The label of a file system that has releases.
pub const LABEL: &str = "PHASE";
/// Where an initramfs may carry a published tree.
pub const CARRIED: &str = "/phase/release";
/// How often it is looked for new devices, and for a disc in a drive.
const TICK: Duration = Duration::from_millis(100);
/// More devices than this are not looked at: each is a thread.
const MOST_DEVICES: usize = 64;
/// Stack of such a thread.
const STACK_BYTES: usize = 256 << 10;

/// What is looked for, and for how long.
#[derive(Clone, Debug)]
pub struct Question {
    /// The machine: `/`, but for tests.
    pub root: PathBuf,
    /// The kernel command line, for the parameters of modules.
    pub command_line: String,
    /// The channel of the release.
    pub channel: String,
    /// Its architecture.
    pub arch: String,
    /// The epoch of the trust file in force: later ones are looked for.
    pub epoch: u64,
    /// When it ends at the latest: a slow disk takes many seconds.
    pub patience: Duration,
    /// With a release in hand, so much time without a new device is the end: sticks come one after the other.
    pub settle: Duration,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The media that have a release.
    pub media: Vec<Medium>,
    /// What stands on them.
    pub gathered: Gathered,
    /// Those that are labelled and have none, or cannot be read.
    pub failures: Vec<(String, MediumError)>,
    /// Everything else that was looked at, and what it is, in words.
    pub others: Vec<(String, String)>,
}

/// What a medium has.
struct Haul {
    medium: Medium,
    envelope: Vec<u8>,
    proof: Option<Vec<u8>>,
    rotations: Vec<Vec<u8>>,
}

/// What the thread of a device tells of it.
struct News {
    name: String,
    what: What,
}

/// What a device is.
enum What {
    /// Not a medium, or not yet: in words.
    Other(String),
    /// A medium.
    Medium(Box<Result<Haul, MediumError>>),
}

/// Looks at what the initramfs carries and at every device, also those that appear meanwhile.
pub fn search(question: Question) -> Found {
    let (begun, settle, patience) = (Instant::now(), question.settle, question.patience);
    let (news, arrivals) = mpsc::channel();
    let mut search = Searching {
        question: Arc::new(question),
        news,
        known: HashSet::new(),
        busy: HashSet::new(),
        found: Found::default(),
    };
    search.carried();
    let mut last = Instant::now();
    while begun.elapsed() < patience {
        if search.new_devices() {
            last = Instant::now();
        }
        if let Ok(news) = arrivals.recv_timeout(TICK) {
            last = Instant::now();
            search.hear(news);
        }
        if search.busy.is_empty() && !search.found.media.is_empty() && last.elapsed() >= settle {
            break;
        }
    }
    search.found.others.sort_unstable();
    search.found
}

/// A search that goes on.
struct Searching {
    question: Arc<Question>,
    news: Sender<News>,
    known: HashSet<PathBuf>,
    /// Names of the devices that are being read.
    busy: HashSet<String>,
    found: Found,
}

impl Searching {
    fn carried(&mut self) {
        let Ok(directory) = File::open(self.question.root.join(CARRIED.trim_start_matches('/'))) else { return };
        let haul = self.question.read(CARRIED.to_owned(), directory.into());
        self.take(CARRIED.to_owned(), haul);
    }

    /// Starts to look at what is new; says whether something is.
    fn new_devices(&mut self) -> bool {
        let root = &self.question.root;
        let devices = block_devices::disks(root).flat_map(|disk| {
            let partitions: Vec<Device> = disk.partitions(root).collect();
            std::iter::once(disk).chain(partitions)
        });
        // One that is empty and cannot be filled has nothing to say: a loop device without an image.
        let devices = devices.filter(|it| it.number("size") != Some(0) || it.number("removable") == Some(1));
        let new: Vec<Device> = devices.filter(|device| !self.known.contains(&device.node)).collect();
        for device in &new {
            if self.known.len() < MOST_DEVICES {
                self.known.insert(device.node.clone());
                self.look(device.node.clone());
            }
        }
        !new.is_empty()
    }

    fn look(&mut self, node: PathBuf) {
        let (question, news, name) = (Arc::clone(&self.question), self.news.clone(), self.question.name(&node));
        let look = move || question.look(&node, &news);
        // A thread is only refused if there is no memory, and then there is none for a release either.
        if thread::Builder::new().name("medium".to_owned()).stack_size(STACK_BYTES).spawn(look).is_ok() {
            self.busy.insert(name);
        }
    }

    fn hear(&mut self, news: News) {
        let News { name, what } = news;
        self.busy.remove(&name);
        // A drive that was empty may not be any more.
        self.found.others.retain(|(other, _)| *other != name);
        match what {
            What::Other(words) => self.found.others.push((name, words)),
            What::Medium(haul) => self.take(name, *haul),
        }
    }

    fn take(&mut self, name: String, haul: Result<Haul, MediumError>) {
        match haul {
            Ok(Haul { medium, envelope, proof, rotations }) => {
                self.found.gathered.candidates.push(Candidate { source: name.clone(), envelope, proof });
                self.found.gathered.rotations.extend(rotations.into_iter().map(|envelope| (name.clone(), envelope)));
                self.found.media.push(medium);
            }
            Err(error) => self.found.failures.push((name, error)),
        }
    }
}

impl Question {
    /// Looks at one device, and again for as long as it is a drive without a disc.
    fn look(&self, node: &Path, news: &Sender<News>) {
        let (begun, name) = (Instant::now(), self.name(node));
        // Nobody listens any more once the search has ended; then this ends as well.
        let tell = |what| news.send(News { name: name.clone(), what });
        let mut empty = false;
        while begun.elapsed() < self.patience {
            let looked = Volume::look(node.to_owned(), Access::ReadOnly);
            let no_disc = looked.as_ref().is_err_and(|error| Errno::from_io_error(error) == Some(Errno::NOMEDIUM));
            if !no_disc {
                _ = tell(self.judge(&name, looked));
                return;
            }
            if !std::mem::replace(&mut empty, true) && tell(What::Other("no disc in it".to_owned())).is_err() {
                return;
            }
            thread::sleep(TICK);
        }
    }

    fn judge(&self, name: &str, looked: io::Result<Option<Volume>>) -> What {
        match looked {
            Err(error) => What::Other(error.to_string()),
            Ok(None) => What::Other("no file system that is known here".to_owned()),
            Ok(Some(volume)) if volume.superblock().label == LABEL => {
                What::Medium(Box::new(self.open(name.to_owned(), &volume)))
            }
            Ok(Some(volume)) => What::Other(described(volume.superblock())),
        }
    }

    /// What people call a device: its file, as it would be called on a machine.
    fn name(&self, node: &Path) -> String {
        let below = node.strip_prefix(&self.root).unwrap_or(node);
        Path::new("/").join(below).display().to_string()
    }

    fn open(&self, name: String, volume: &Volume) -> Result<Haul, MediumError> {
        volume.load_modules(&|module| _ = modules::load(&self.root, &self.command_line, &[module]));
        let file_system = volume.superblock().file_system.name();
        let top = volume.mount(Access::ReadOnly);
        self.read(name.clone(), top.map_err(|errno| MediumError::Mount { medium: name, file_system, errno })?)
    }

    fn read(&self, name: String, top: OwnedFd) -> Result<Haul, MediumError> {
        let (medium, envelope) = Medium::open(name, top, &self.channel, &self.arch)?;
        let proof = medium.proof(&self.channel, &self.arch)?;
        let rotations = medium.rotations(self.epoch)?;
        Ok(Haul { medium, envelope, proof, rotations })
    }
}

/// A file system that is not ours, for somebody who wonders why.
fn described(superblock: &Superblock) -> String {
    let Superblock { file_system, label } = superblock;
    let name = match file_system {
        FileSystem::Vfat => "FAT",
        FileSystem::Iso9660 => "ISO 9660",
        FileSystem::Ext4 => FileSystem::Ext4.name(),
    };
    if label.is_empty() { format!("{name} without a label") } else { format!("{name} labelled {label:?}") }
}

#[cfg(test)]
mod tests;
