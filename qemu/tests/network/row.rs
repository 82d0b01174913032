//! One row: the network is set up, a machine boots in it, and what became of it is compared with what was promised.

use std::{fs, time::Instant};

use qemu::{
    Event,
    lan::{Capture, WORLD, capture},
};

use crate::{
    promises,
    scene::{NEWEST, Scene},
    support::Boot,
    table::{Place, Row, Trouble},
};

/// How long a row may take from the machine's start to its end, in seconds: the slowest takes a fourth of it on a busy host.
const BOUND: f32 = 240.0;

/// What is said of an origin that is not there, and of one without a release.
/// (How the first one fails depends on whether the router's word that nobody is there is lost.)
const DEAD: &str = "http://203.0.113.99:8000/e2e/x86_64/manifest.dsse.json: ";
const EMPTY: &str =
    "http://203.0.113.10:8000/e2e/x86_64/manifest.dsse.json: the server answered status 404, wanted 200";

/// What is said where nobody on the link has a release.
const NOBODY: &str = "nobody on this link offers channel e2e for x86_64; `phase serve --advertise` does";

/// What the table says of a row.
pub(crate) struct Outcome {
    pub(crate) words: String,
    pub(crate) seconds: f32,
}

/// Does it, in namespaces of this program's own.
pub(crate) fn run(row: Row) -> Outcome {
    let mut scene = Scene::set(row.place);
    let world = scene.lan.watch_the_world().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cable = directory.path().join("cable");
    let machine = scene.parts.machine(row.place.is_in_the_dht()).append(&format!("phase.mode={}", row.place.mode()));
    let machine = machine.append(&scene.parameters).capture(&cable);
    let machine = match row.place {
        Place::HttpsIn1970 => machine.clock("1970-01-01T00:00:00"),
        Place::HttpsIn2099 => machine.clock("2099-01-01T00:00:00"),
        _ => machine,
    };
    // Over a bad cable a machine tries again, as one that nobody told otherwise does.
    let policy = if row.place.has_a_release() { "phase.on_failure=retry" } else { "phase.on_failure=poweroff" };
    let machine = scene.lan.plug(machine.append(policy), &row.trouble.faults()).unwrap();
    let mut boot = Boot::start(&machine);
    let begin = Instant::now();
    let words = if row.place.has_a_release() { boots(&mut boot, row) } else { fails(&mut boot, row.place) };
    let seconds = begin.elapsed().as_secs_f32();
    assert!(seconds < BOUND, "it took {seconds} s");
    keeps_its_promises(row.place, &scene, world, &capture::read(&cable).unwrap());
    Outcome { words, seconds }
}

/// The newest release is booted, from where it should come; over a good cable at once.
fn boots(boot: &mut Boot, Row { place, trouble }: Row) -> String {
    let receipt = boot.reaches_the_release("direct");
    let source = receipt["source"].as_str().unwrap_or_default().to_owned();
    assert_eq!(receipt["version"], NEWEST, "{receipt}");
    assert_eq!(receipt["mode"], place.mode(), "{receipt}");
    for words in place.said() {
        assert!(boot.says(words), "the console does not say {words:?}");
    }
    let attempts = 1 + boot.count("recover", Event::Begin);
    assert!(attempts == 1 || trouble != Trouble::None, "it took {attempts} attempts over a good cable");
    let again = if attempts > 1 { format!(", attempt {attempts}") } else { String::new() };
    format!("boots {NEWEST} from {source}{again}")
}

/// Nothing is booted; the console names every place that was asked and why it was not used, and the failure policy is followed.
fn fails(boot: &mut Boot, place: Place) -> String {
    let (stage, error) = ("discover", place.error());
    let fail = boot.is_refused(stage, error, place.said());
    assert_eq!(fail.field("action"), Some("poweroff"), "{fail:?}");
    boot.powers_off();
    format!("{error}, then {}", fail.field("action").unwrap_or_default())
}

/// The frames that were sent are those that the mode allows; in internet mode, the same looks find them.
fn keeps_its_promises(place: Place, scene: &Scene, world: Capture, cable: &[capture::Frame]) {
    let world = world.end();
    let through_the_router = promises::from_the_link(&world);
    assert!(promises::sent(cable) > 3, "the capture sees nothing");
    let router = scene.lan.router.ethernet_address("lan").unwrap();
    let off_the_link = promises::off_the_link(cable, router);
    if place.mode() == "local" {
        assert!(through_the_router.is_empty(), "the world is reached: {through_the_router:?}");
        assert!(off_the_link.is_empty(), "{off_the_link:#?}");
    } else {
        assert!(!through_the_router.is_empty(), "the router's capture sees nothing of {WORLD}");
        assert!(place == Place::Proxy || !off_the_link.is_empty(), "the cable's capture sees nothing");
    }
}

impl Place {
    fn is_in_the_dht(self) -> bool {
        matches!(self, Self::Dht | Self::DhtBesideADeadOrigin)
    }

    fn has_a_release(self) -> bool {
        !matches!(self, Self::NoOriginAnswers | Self::Nothing | Self::OffLinkOrigin | Self::OffLinkService)
    }

    /// The stable word of the failure.
    fn error(self) -> &'static str {
        match self {
            Self::NoOriginAnswers => "unreachable",
            Self::OffLinkOrigin => "off-link",
            _ => "not-found",
        }
    }

    /// What the console has to say.
    fn said(self) -> &'static [&'static str] {
        match self {
            Self::HttpsIn1970 | Self::HttpsIn2099 => &["the machine's clock is not believed"],
            Self::DhtBesideADeadOrigin => &[DEAD, "(from the DHT, list 2)"],
            Self::NoOriginAnswers => &[DEAD, EMPTY],
            Self::Nothing => &[NOBODY],
            Self::OffLinkOrigin => &["203.0.113.10 is not on this link, and local mode sends nothing past it", NOBODY],
            Self::OffLinkService => &["'far'", "203.0.113.10", NOBODY],
            _ => &[],
        }
    }
}

/// Passes an outcome from the program in the namespaces to the one outside.
impl Outcome {
    pub(crate) fn write(&self, file: &std::path::Path) {
        fs::write(file, format!("{}\n{}", self.seconds, self.words)).unwrap();
    }

    pub(crate) fn read(file: &std::path::Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let (seconds, words) = text.split_once('\n')?;
        Some(Self { words: words.to_owned(), seconds: seconds.parse().ok()? })
    }
}
