//! A started machine, and the outcomes that tests ask it for.

use std::{fs::File, thread, time::Duration};

use qemu::{Error, Event, Machine, Marker, Running, qmp::Qmp};
use serde_json::Value;

use super::Lab;

/// How long anything may take: QEMU translates, and the host may be busy. (Firmware on a host at load 12 takes more than three
/// minutes to its menu.) Whoever waits this long waits for what does not come.
pub(crate) const LONG: Duration = Duration::from_mins(6);

/// What the tiny release's init says of itself.
const REACHED: &str = "phase-test: release pid 1 reached";

/// A machine that boots.
pub(crate) struct Boot {
    running: Running,
    /// Until the machine has ended: a test that starts a second one must not wait for itself.
    turn: Option<File>,
}

impl Boot {
    /// Starts `machine` when its turn comes.
    pub(crate) fn start(machine: &Machine) -> Self {
        let turn = Lab::ready().turn();
        Self { running: machine.start().unwrap(), turn: Some(turn) }
    }

    /// Waits for `event` of `stage`.
    #[track_caller]
    pub(crate) fn reaches(&mut self, stage: &str, event: Event) -> Marker {
        arrived(self.running.wait_for_marker(stage, event, LONG))
    }

    /// Waits for a line with `text` in it.
    #[track_caller]
    pub(crate) fn shows(&mut self, text: &str) {
        arrived(self.running.wait_for_text(text, LONG));
    }

    /// Waits for a prompt that ends like this, and types a line there.
    #[track_caller]
    pub(crate) fn at_prompt(&mut self, end: &str, line: &str) {
        let prompt = format!("a prompt that ends with {end:?}");
        arrived(self.running.wait_for(&prompt, LONG, |line| line.text.trim_end().ends_with(end)));
        self.types(&format!("{line}\r"));
    }

    /// Types `text`.
    pub(crate) fn types(&self, text: &str) {
        self.running.send(text).unwrap();
    }

    /// Presses these keys of the keyboard, one after the other, by QEMU's names for them.
    pub(crate) fn presses(&self, keys: &[&str]) {
        let mut qmp = self.qmp();
        for key in keys {
            qmp.send_key(&[key]).unwrap();
        }
    }

    /// A control connection; QEMU makes its socket soon after its start.
    pub(crate) fn qmp(&self) -> Qmp {
        let attempts = std::iter::repeat_with(|| self.running.qmp()).take(1200);
        let mut opened = attempts.inspect(|result| {
            if result.is_err() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        opened.find_map(Result::ok).expect("QEMU opens its control socket within a minute")
    }

    /// The release's init runs, reached by the hand-off `kind`; returns its receipt once it has switched the machine off.
    #[track_caller]
    pub(crate) fn reaches_the_release(&mut self, kind: &str) -> Value {
        let handoff = self.reaches("handoff", Event::Begin);
        assert_eq!(handoff.field("kind"), Some(kind));
        self.shows(REACHED);
        self.powers_off();
        self.json_after("phase-test: receipt ")
    }

    /// The attempt fails in `stage` with the stable word `error` and words that say what was seen and wanted; nothing of
    /// the release was executed. Returns the marker that says what follows.
    #[track_caller]
    pub(crate) fn is_refused(&mut self, stage: &str, error: &str, words: &[&str]) -> Marker {
        let fail = self.reaches(stage, Event::Fail);
        assert_eq!(fail.field("error"), Some(error), "{fail:?}");
        self.is_given_up(stage, error, words)
    }

    /// The attempt ends for this reason before its first step towards the release, and nothing was executed.
    #[track_caller]
    pub(crate) fn is_refused_at_once(&mut self, error: &str, words: &[&str]) -> Marker {
        let recover = self.is_given_up("recover", error, words);
        assert!(!self.began("download"), "bytes were fetched for a way that cannot be gone");
        recover
    }

    #[track_caller]
    fn is_given_up(&mut self, stage: &str, error: &str, words: &[&str]) -> Marker {
        let recover = self.reaches("recover", Event::Begin);
        assert_eq!(recover.field("error"), Some(error), "{recover:?}");
        for words in words {
            assert!(self.says(words), "the console does not say {words:?}:\n{}", self.running.transcript().tail());
        }
        self.executed_nothing(stage);
        recover
    }

    /// The process that did the work was killed; PID 1 says so and that it switches off by its policy.
    #[track_caller]
    pub(crate) fn is_worker_killed(&mut self) {
        let recover = self.reaches("recover", Event::Begin);
        assert_eq!((recover.field("error"), recover.field("action")), (Some("worker"), Some("poweroff")));
        assert!(self.says("the worker was killed"), "{}", self.running.transcript().tail());
        self.executed_nothing("download");
    }

    /// Whether a line of the console has these words.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.running.transcript().contains(words)
    }

    /// What stands on the console after the last `words`, read as JSON; it may have many lines.
    #[track_caller]
    pub(crate) fn json_after(&self, words: &str) -> Value {
        let lines: Vec<String> = self.running.transcript().lines().map(|line| line.text.clone()).collect();
        let text = lines.join("\n");
        let (_, json) = text.rsplit_once(words).unwrap_or_else(|| panic!("nothing says {words:?}:\n{text}"));
        let json = serde_json::Deserializer::from_str(json).into_iter().next();
        json.expect("something follows").unwrap_or_else(|error| panic!("no JSON after {words:?} ({error}):\n{text}"))
    }

    /// What follows `words` on every line of the console that begins with them.
    pub(crate) fn lines_after(&self, words: &str) -> Vec<String> {
        let transcript = self.running.transcript();
        transcript.lines().filter_map(|line| line.text.strip_prefix(words).map(str::to_owned)).collect()
    }

    /// When PID 1 of stage one began, since the machine's start.
    pub(crate) fn when_started(&self) -> Option<Duration> {
        let transcript = self.running.transcript();
        let mut markers = transcript.markers().iter();
        markers.find(|(_, marker)| marker.is("start", Event::Begin)).map(|(at, _)| *at)
    }

    /// When the release said something of itself, since the machine's start: the tiny one at its PID 1, others at their login.
    pub(crate) fn when_reached(&self) -> Option<Duration> {
        let transcript = self.running.transcript();
        let reached = transcript.lines().find(|line| line.text.contains(REACHED)).map(|line| line.at);
        reached.or_else(|| transcript.login())
    }

    /// Where the root's changes go, by the marker of the kernel that put it together.
    pub(crate) fn upper(&self) -> String {
        let transcript = self.running.transcript();
        let mut markers = transcript.markers().iter();
        let root = markers.find(|(_, marker)| marker.is("root", Event::End)).expect("a root was put together");
        root.1.field("upper").expect("its marker says where changes go").to_owned()
    }

    /// Whether `stage` has begun.
    pub(crate) fn began(&self, stage: &str) -> bool {
        self.count(stage, Event::Begin) > 0
    }

    /// How often `event` of `stage` was marked.
    pub(crate) fn count(&self, stage: &str, event: Event) -> usize {
        self.running.transcript().markers().iter().filter(|(_, marker)| marker.is(stage, event)).count()
    }

    /// The kernel switches the machine off.
    #[track_caller]
    pub(crate) fn powers_off(&mut self) {
        self.ends("reboot: Power down");
    }

    /// The kernel restarts the machine, which ends QEMU here.
    #[track_caller]
    pub(crate) fn restarts(&mut self) {
        self.ends("reboot: Restarting system");
    }

    /// The machine is reset in the middle of something, by nobody who runs on it.
    #[track_caller]
    pub(crate) fn is_reset(&mut self) {
        assert!(arrived(self.running.wait_exit(LONG)).success());
        self.turn = None;
        assert!(!self.says("reboot: "), "{}", self.running.transcript().tail());
    }

    #[track_caller]
    fn ends(&mut self, last_words: &str) {
        self.shows(last_words);
        assert!(arrived(self.running.wait_exit(LONG)).success());
        self.turn = None;
        assert!(!self.says("Kernel panic"), "{}", self.running.transcript().tail());
    }

    /// One kernel ran, one stage, and none of the release. `stage` is where it ended: `load` may have been tried only there.
    #[track_caller]
    fn executed_nothing(&self, stage: &str) {
        assert_eq!(self.count("start", Event::Begin), 1, "another kernel was started");
        assert!(stage == "load" || !self.began("load"), "a kernel was given to kexec_file_load");
        for (stage, event) in [("load", Event::End), ("handoff", Event::Begin), ("switch", Event::Begin)] {
            assert_eq!(self.count(stage, event), 0, "the marker {stage}: {event} is there");
        }
        assert!(!self.says("phase-test:"), "the release's init ran");
    }
}

impl Drop for Boot {
    /// Of a boot that another machine cannot repeat, the console is all that is left.
    fn drop(&mut self) {
        if thread::panicking() {
            let transcript = self.running.transcript();
            transcript.lines().for_each(|line| eprintln!("    {}", line.text));
        }
    }
}

/// What was waited for; if it did not come, the end of the console, in lines.
#[track_caller]
fn arrived<T>(waited: Result<T, Error>) -> T {
    match waited {
        Ok(arrived) => arrived,
        Err(error) => panic!("{error}"),
    }
}
