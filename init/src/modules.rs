//! Drivers: a module is loaded for every device that is there, and for every one that comes later.
//!
//! Devices name what they are by their `modalias`; the initramfs carries modules and depmod's indexes of exactly them.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::Duration;

use initramfs::kmod::{Index, KmodError, Limits, Sources, name_of_path};
use rustix::io::Errno;
use rustix::system::finit_module;

use crate::cmdline;
use crate::console::Console;
use crate::timeline::Kind;
use crate::uevent::Uevents;

/// `MODULE_INIT_COMPRESSED_FILE` (include/uapi/linux/module.h): the kernel decompresses.
const COMPRESSED: i32 = 4;

/// How long a driver that is being loaded is waited for when the machine is made quiet.
const PATIENCE: Duration = Duration::from_secs(10);

/// A module that could not be loaded, or an index that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// An index is not there or cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An index does not follow kmod's format, or a module is in none.
    #[error("module indexes of {directory}: {source}")]
    Index {
        /// Where they stand.
        directory: PathBuf,
        /// What is wrong.
        source: KmodError,
    },
    /// The kernel refused a module.
    #[error("the kernel refused module {name}: {}", refusal(*.errno))]
    Refused {
        /// The module.
        name: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The thread that loads drivers could not be started or ended early.
    #[error("the loader of drivers could not run: {0}")]
    Thread(String),
}

impl Kind for ModuleError {
    fn kind(&self) -> &'static str {
        "modules"
    }
}

/// The kernel's answer with what it means and what helps (`load_module`, kernel/module/main.c of Linux).
fn refusal(errno: Errno) -> String {
    let meaning = match errno {
        Errno::NOENT => {
            "it needs a symbol that this kernel and the loaded modules lack; pack the modules of this very kernel"
        }
        Errno::NOEXEC => "it was built for another kernel; pack the modules of this very kernel",
        Errno::OPNOTSUPP => "this kernel has no MODULE_DECOMPRESS; pack the module uncompressed, as `phase image` does",
        Errno::KEYREJECTED | Errno::PERM => "its signature is not trusted, and this kernel demands one",
        Errno::NODEV => "there is no such device",
        _ => "see the kernel log",
    };
    format!("{errno} ({meaning})")
}

/// The indexes of one kernel, as texts.
struct Texts {
    directory: PathBuf,
    dep: String,
    alias: String,
    softdep: String,
    builtin: String,
}

impl Texts {
    /// Reads what the initramfs carries for the kernel that runs; `None` if it carries no modules at all.
    fn read(root: &Path) -> Result<Option<Self>, ModuleError> {
        let uname = rustix::system::uname();
        let directory = root.join("lib/modules").join(uname.release().to_string_lossy().as_ref());
        let read = |name: &str| {
            let path = directory.join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(source) => Err(ModuleError::Unreadable { path, source }),
            }
        };
        let Some(dep) = read("modules.dep")? else { return Ok(None) };
        let alias = read("modules.alias")?.unwrap_or_default();
        let softdep = read("modules.softdep")?.unwrap_or_default();
        let builtin = read("modules.builtin")?.unwrap_or_default();
        Ok(Some(Self { directory, dep, alias, softdep, builtin }))
    }

    fn index(&self) -> Result<Index<'_>, ModuleError> {
        let sources = Sources { dep: &self.dep, alias: &self.alias, softdep: &self.softdep, builtin: &self.builtin };
        Index::parse(&sources, Limits::DEFAULT)
            .map_err(|source| ModuleError::Index { directory: self.directory.clone(), source })
    }
}

/// Loads modules, each once.
struct Loader<'texts> {
    index: Index<'texts>,
    directory: &'texts Path,
    command_line: &'texts str,
    tried: HashSet<&'texts str>,
    loaded: usize,
}

impl<'texts> Loader<'texts> {
    fn new(texts: &'texts Texts, command_line: &'texts str) -> Result<Self, ModuleError> {
        let index = texts.index()?;
        Ok(Self { index, directory: &texts.directory, command_line, tried: HashSet::new(), loaded: 0 })
    }

    /// Loads a module after what it needs. A module that was tried before is not tried again. What is loaded along with it
    /// may be a mere wish (a softdep that this CPU does not have), so that only the module's own failure counts; the
    /// first refusal then says more than the unknown symbol that it led to.
    fn load(&mut self, name: &str) -> Result<(), ModuleError> {
        let paths = self
            .index
            .load_order(name)
            .map_err(|source| ModuleError::Index { directory: self.directory.to_owned(), source })?;
        let mut first = None;
        for path in paths.into_iter().filter(|path| self.tried.insert(path)).collect::<Vec<_>>() {
            match insert(&self.directory.join(path), self.command_line) {
                Ok(()) => self.loaded += 1,
                Err(error) if initramfs::kmod::same_name(name_of_path(path), name) => {
                    return Err(first.unwrap_or(error));
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        Ok(())
    }

    /// Loads what a device asks for; a driver that does not load is that device's loss.
    fn serve(&mut self, modalias: &str, console: &Console) {
        for name in self.index.matching(modalias) {
            if let Err(error) = self.load(name) {
                console.warn(format_args!("{error}"));
            }
        }
    }

    /// Serves every device that is there. A driver may bring a bus with devices of its own (virtio): looks until nothing
    /// is new.
    fn serve_all(&mut self, root: &Path, console: &Console) {
        loop {
            let before = self.loaded;
            for modalias in modaliases(root) {
                self.serve(&modalias, console);
            }
            if self.loaded == before {
                return;
            }
        }
    }
}

/// Gives one file to the kernel, with the module's parameters of the command line; one that is there already is as good.
fn insert(path: &Path, command_line: &str) -> Result<(), ModuleError> {
    let file = File::open(path).map_err(|source| ModuleError::Unreadable { path: path.to_owned(), source })?;
    let name = name_of_path(path.to_str().unwrap_or_default());
    let compressed = path.extension().is_none_or(|extension| extension != "ko");
    let parameters = CString::new(parameters(name, command_line)).unwrap_or_default();
    match finit_module(&file, &parameters, if compressed { COMPRESSED } else { 0 }) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(ModuleError::Refused { name: name.to_owned(), errno }),
    }
}

/// `module.parameter=value` words of the command line that are this module's, in the form that the kernel takes.
fn parameters(name: &str, command_line: &str) -> String {
    cmdline::join(cmdline::words(command_line).filter_map(|(key, value)| {
        let (module, parameter) = key.split_once('.')?;
        initramfs::kmod::same_name(module, name).then(|| (parameter.to_owned().into(), value))
    }))
}

/// The drivers of this machine: loaded for what was there, and still being loaded for what comes.
#[derive(Debug)]
pub struct Drivers {
    /// Modules that were loaded before [`coldplug`] returned.
    pub loaded: usize,
    gate: Arc<Gate>,
}

impl Drivers {
    /// Loads no driver from now on: the machine is being made quiet. One that is being loaded is waited for, within limits.
    pub fn stop(&self, console: &Console) {
        if !self.gate.close(PATIENCE) {
            console.warn(format_args!("a driver is still being loaded; its device may disturb the next kernel"));
        }
    }
}

/// Lets the loader pass as long as it is open, and knows whether somebody is inside.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    inside: bool,
}

impl Gate {
    /// Does `work` if the gate is open; says whether it was.
    fn pass(&self, work: impl FnOnce()) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return false;
        }
        state.inside = true;
        drop(state);
        work();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).inside = false;
        self.left.notify_all();
        true
    }

    /// Closes the gate and waits until nobody is inside; says whether that came about in time.
    fn close(&self, patience: Duration) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        let waited = self.left.wait_timeout_while(state, patience, |state| state.inside);
        !waited.unwrap_or_else(PoisonError::into_inner).0.inside
    }
}

/// Loads drivers for every device below /sys/bus, then goes on with the kernel's announcements on a thread of its own.
pub fn coldplug(root: &Path, command_line: &str, console: &Arc<Console>) -> Result<Drivers, ModuleError> {
    let gate = Arc::new(Gate::default());
    let Some(texts) = Texts::read(root)? else { return Ok(Drivers { loaded: 0, gate }) };
    let (report, first_pass) = mpsc::channel();
    let thread = std::thread::Builder::new().name("drivers".into());
    let (console, root, command_line) = (Arc::clone(console), root.to_owned(), command_line.to_owned());
    let loaders_gate = Arc::clone(&gate);
    let work = move || match Loader::new(&texts, &command_line) {
        Ok(loader) => follow(loader, &root, &console, &report, &loaders_gate),
        Err(error) => _ = report.send(Err(error)),
    };
    thread.spawn(work).map_err(|error| ModuleError::Thread(error.to_string()))?;
    let loaded = first_pass.recv().map_err(|error| ModuleError::Thread(error.to_string()))??;
    Ok(Drivers { loaded, gate })
}

/// The first pass over the devices, its report, and then one announcement after the other.
fn follow(
    mut loader: Loader<'_>,
    root: &Path,
    console: &Console,
    report: &mpsc::Sender<Result<usize, ModuleError>>,
    gate: &Gate,
) {
    let announcements = Uevents::listen();
    loader.serve_all(root, console);
    _ = report.send(Ok(loader.loaded));
    let announcements = match announcements {
        Ok(announcements) => announcements,
        Err(errno) => {
            return console.warn(format_args!("devices that appear later get no driver: uevent socket: {errno}"));
        }
    };
    while let Ok(modalias) = announcements.next_modalias() {
        let open = gate.pass(|| match modalias {
            Some(modalias) => loader.serve(&modalias, console),
            None => loader.serve_all(root, console),
        });
        if !open {
            return;
        }
    }
}

/// The `modalias` of every device on every bus.
fn modaliases(root: &Path) -> Vec<String> {
    let entries = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries(root.join("sys/bus"))
        .flat_map(|bus| entries(bus.path().join("devices")))
        .filter_map(|device| std::fs::read_to_string(device.path().join("modalias")).ok())
        .map(|text| text.trim_end().to_owned())
        .filter(|modalias| !modalias.is_empty())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Loads modules by name, in order; returns how many files were loaded. A module that the kernel has built in, or an
/// initramfs without modules, needs none.
pub fn load(root: &Path, command_line: &str, names: &[&str]) -> Result<usize, ModuleError> {
    let Some(texts) = Texts::read(root)? else { return Ok(0) };
    let mut loader = Loader::new(&texts, command_line)?;
    for name in names {
        loader.load(name)?;
    }
    Ok(loader.loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_module_come_from_the_command_line() {
        let line = "quiet virtio-net.napi_tx=0 virtio_net.csum e1000.debug=1 virtio_net.x=\"a b\"";
        assert_eq!(parameters("virtio_net", line), "napi_tx=0 csum x=\"a b\"");
        assert_eq!(parameters("squashfs", line), "");
    }

    #[test]
    fn devices_of_all_buses_are_looked_through_once() {
        let root = tempfile::tempdir().unwrap();
        for (device, modalias) in
            [("pci/devices/a", "pci:v1\n"), ("usb/devices/b", "usb:v2\n"), ("usb/devices/c", "pci:v1\n")]
        {
            let directory = root.path().join("sys/bus").join(device);
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("modalias"), modalias).unwrap();
        }
        std::fs::create_dir_all(root.path().join("sys/bus/cpu/devices/no-modalias")).unwrap();
        assert_eq!(modaliases(root.path()), ["pci:v1", "usb:v2"]);
    }

    #[test]
    fn whoever_stops_the_loader_waits_for_what_it_is_doing_and_no_longer() {
        let gate = Arc::new(Gate::default());
        assert!(gate.pass(|| {}), "open at first");
        let (entered, inside) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        let loader = std::thread::spawn({
            let gate = Arc::clone(&gate);
            move || {
                gate.pass(|| {
                    entered.send(()).unwrap();
                    left.recv().unwrap();
                })
            }
        });
        inside.recv().unwrap();
        assert!(!gate.close(Duration::from_millis(100)), "a driver is being loaded");
        assert!(!gate.pass(|| panic!("closed")), "a driver is loaded behind a closed gate");
        leave.send(()).unwrap();
        assert!(gate.close(Duration::from_mins(1)));
        assert!(loader.join().unwrap());
    }

    #[test]
    fn an_initramfs_without_modules_needs_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(load(root.path(), "", &["overlay"]).unwrap(), 0);
    }

    #[test]
    fn a_refused_module_says_what_helps() {
        let error = ModuleError::Refused { name: "overlay".into(), errno: Errno::NOEXEC };
        assert!(error.to_string().contains("overlay"), "{error}");
        assert!(error.to_string().contains("built for another kernel"), "{error}");
    }
}
