//! A machine that runs: its console can be read, waited on and typed at, and it ends when it is dropped.
//!
//! QEMU is started by the thread that reads its console. The kernel's parent-death signal is bound to the thread that
//! forked, so this is what lets a `Running` move between threads and still makes QEMU die with the program.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Error, Event, Line, Marker, Transcript, profile::Profile, program, qmp::Qmp};

/// How often QEMU's end is looked for.
const POLL: Duration = Duration::from_millis(10);
/// How long QEMU may take to end once its console has closed.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes of QEMU's own messages that are kept.
const STDERR_BYTES: u64 = 64 * 1024;

/// Takes a copy of every byte of the console, on the reading thread.
pub type Tap = Box<dyn Write + Send>;

/// A started QEMU.
#[derive(Debug)]
pub struct Running {
    child: Child,
    input: Input,
    console: Arc<Console>,
    reader: Option<JoinHandle<()>>,
    /// The number of the first line that no `wait_for` has passed.
    next_line: usize,
    /// Holds the control socket.
    directory: TempDir,
}

/// The guest's side of the keyboard; may be given to another thread.
#[derive(Debug, Clone)]
pub struct Input(Arc<Mutex<ChildStdin>>);

impl Input {
    /// Sends `bytes` as if they were typed.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdin = lock(&self.0);
        stdin.write_all(bytes).and_then(|()| stdin.flush()).map_err(Error::Input)
    }
}

#[derive(Debug, Default)]
struct Console {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    transcript: Transcript,
    tap: Option<Tap>,
    stderr: String,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl Running {
    pub(crate) fn start(
        qemu: &Path,
        arguments: impl FnOnce(&Path) -> Result<Vec<OsString>, Error>,
    ) -> Result<Self, Error> {
        let directory = tempfile::Builder::new().prefix("phase-qemu-").tempdir().map_err(Error::Start)?;
        let mut command = Command::new(program::find("setpriv", "util-linux")?);
        command.args(["--pdeathsig", "KILL", "--"]).arg(qemu).args(arguments(&directory.path().join(QMP_SOCKET))?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());

        let console = Arc::new(Console::default());
        let (sender, started) = mpsc::sync_channel(1);
        let reader = thread::spawn({
            let console = Arc::clone(&console);
            move || spawn_and_read(command, &console, &sender)
        });
        let mut child = match started.recv() {
            Ok(result) => result.map_err(Error::Start)?,
            Err(_) => return Err(Error::Start(io::Error::other("the thread that starts it ended"))),
        };
        let stdin = child.stdin.take().ok_or_else(|| Error::Start(io::Error::other("it has no input")))?;
        let input = Input(Arc::new(Mutex::new(stdin)));
        Ok(Self { child, input, console, reader: Some(reader), next_line: 0, directory })
    }

    /// What the console has said so far.
    pub fn transcript(&self) -> Transcript {
        self.console.lock().transcript.clone()
    }

    /// The table of stages as far as they came.
    pub fn profile(&self) -> Profile {
        let state = self.console.lock();
        Profile::new(state.transcript.markers(), state.transcript.login())
    }

    /// Copies what the console says from now on to `tap`; an error of `tap` ends the copying, not the machine.
    pub fn tap(&self, tap: Tap) {
        self.console.lock().tap = Some(tap);
    }

    /// The guest's console input.
    pub fn input(&self) -> Input {
        self.input.clone()
    }

    /// Types `text` at the guest's console; Enter is `\r`.
    pub fn send(&self, text: &str) -> Result<(), Error> {
        self.input.send(text.as_bytes())
    }

    /// A control connection.
    pub fn qmp(&self) -> Result<Qmp, Error> {
        Qmp::connect(&self.directory.path().join(QMP_SOCKET))
    }

    /// Waits for a line that `wanted` accepts and that no earlier wait has passed; `what` names it in the error.
    /// The line may be an unfinished one, such as a prompt.
    pub fn wait_for(&mut self, what: &str, timeout: Duration, wanted: impl Fn(&Line) -> bool) -> Result<Line, Error> {
        self.wait(what, timeout, |line| wanted(line).then(|| line.clone()))
    }

    /// Waits for a line with `text` in it.
    pub fn wait_for_text(&mut self, text: &str, timeout: Duration) -> Result<Line, Error> {
        self.wait_for(&format!("{text:?}"), timeout, |line| line.text.contains(text))
    }

    /// Waits for `event` of `stage`.
    pub fn wait_for_marker(&mut self, stage: &str, event: Event, timeout: Duration) -> Result<Marker, Error> {
        let what = format!("the marker \"phase: {stage}: {event}\"");
        self.wait(&what, timeout, |line| line.marker().filter(|marker| marker.is(stage, event)))
    }

    /// Waits for a login prompt.
    pub fn wait_for_login(&mut self, timeout: Duration) -> Result<Line, Error> {
        self.wait_for("a login prompt", timeout, Line::is_login_prompt)
    }

    fn wait<T>(&mut self, what: &str, timeout: Duration, wanted: impl Fn(&Line) -> Option<T>) -> Result<T, Error> {
        let deadline = Instant::now() + timeout;
        let mut state = self.console.lock();
        loop {
            let unfinished = state.transcript.finished();
            for (number, line) in state.transcript.from(self.next_line) {
                if let Some(found) = wanted(&line) {
                    self.next_line = number + 1;
                    return Ok(found);
                }
                // The unfinished line will be looked at again.
                self.next_line = (number + 1).min(unfinished);
            }
            if state.closed {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let tail = state.transcript.tail();
                return Err(Error::Timeout { what: what.to_owned(), timeout, tail });
            }
            state = self.console.wait(state, left);
        }
        let (stderr, tail) = (state.stderr.clone(), state.transcript.tail());
        drop(state);
        let status = self.poll_exit(GRACE)?;
        Err(Error::Ended { what: what.to_owned(), status, stderr, tail })
    }

    /// Waits until QEMU ends by itself, which it does when the guest powers off or reboots.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus, Error> {
        let status = self.poll_exit(timeout)?.ok_or_else(|| {
            let tail = self.console.lock().transcript.tail();
            Error::Timeout { what: "QEMU's end".to_owned(), timeout, tail }
        })?;
        // What was in the pipe belongs to the transcript.
        self.join_reader();
        Ok(status)
    }

    /// Ends the machine as a pulled plug would, and returns all that its console said.
    pub fn kill(mut self) -> Transcript {
        self.end();
        self.transcript()
    }

    fn poll_exit(&mut self, timeout: Duration) -> Result<Option<ExitStatus>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().map_err(Error::Wait)? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }

    fn end(&mut self) {
        // Both fail only if QEMU has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_reader();
    }

    fn join_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A panic of the reader was printed by it; the transcript ends there.
            let _ = reader.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

const QMP_SOCKET: &str = "qmp";

impl Console {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, timeout: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    fn push(&self, bytes: &[u8], at: Duration) {
        let mut state = self.lock();
        state.transcript.push(bytes, at);
        if let Some(tap) = &mut state.tap
            && tap.write_all(bytes).and_then(|()| tap.flush()).is_err()
        {
            state.tap = None;
        }
        drop(state);
        self.changed.notify_all();
    }

    fn close(&self, stderr: String) {
        let mut state = self.lock();
        state.stderr = stderr;
        state.closed = true;
        drop(state);
        self.changed.notify_all();
    }
}

/// No code panics while it holds one of these locks, and a transcript cut short is still a transcript.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The life of the reading thread: as long as QEMU's, since QEMU is killed when this thread ends.
fn spawn_and_read(mut command: Command, console: &Console, started: &mpsc::SyncSender<io::Result<Child>>) {
    let start = Instant::now();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            // The receiver waits for exactly this one message.
            let _ = started.send(Err(error));
            return;
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let messages = stderr.map(|stderr| thread::spawn(move || read_messages(stderr)));
    let _ = started.send(Ok(child));
    if let Some(stdout) = stdout {
        read_console(stdout, console, start);
    }
    let messages = messages.and_then(|thread| thread.join().ok()).unwrap_or_default();
    console.close(messages);
}

fn read_console(mut stdout: impl Read, console: &Console, start: Instant) {
    let mut buffer = [0; 4096];
    loop {
        match stdout.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => console.push(&buffer[..length], start.elapsed()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return, // A broken pipe is an end like any other.
        }
    }
}

fn read_messages(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    // What was read before an error is still worth showing.
    let _ = stderr.by_ref().take(STDERR_BYTES).read_to_end(&mut kept);
    // QEMU must not block on a full pipe.
    let _ = io::copy(&mut stderr, &mut io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests;
