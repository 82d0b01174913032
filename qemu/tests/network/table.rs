//! The table: which mode finds a release where, over which cable, and what becomes of it. Data, and the words for it.

use std::time::Duration;

use qemu::lan::Faults;

/// Where there is a release, or is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Http,
    Https,
    HttpsIn1970,
    HttpsIn2099,
    Dht,
    DhtBesideADeadOrigin,
    Proxy,
    NoOriginAnswers,
    OneOfTwoCuts,
    OneOfTwoStalls,
    OneOfTwoLies,
    PhaseServe,
    Avahi,
    DhcpUrl,
    Dhcp6Url,
    Replayed,
    Nothing,
    OffLinkOrigin,
    OffLinkService,
}

/// What the cable does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    Loss10,
    Loss30,
    Reorder,
    Slow,
    Corrupt,
    LatePort,
}

/// One test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) place: Place,
    pub(crate) trouble: Trouble,
}

/// Every way that a boot may take, over each of these cables.
const MATRIX: [(&[Place], &[Trouble]); 4] = [
    (
        &[
            Place::Http,
            Place::Https,
            Place::HttpsIn1970,
            Place::HttpsIn2099,
            Place::Dht,
            Place::DhtBesideADeadOrigin,
            Place::Proxy,
            Place::PhaseServe,
            Place::Avahi,
            Place::DhcpUrl,
            Place::Dhcp6Url,
            Place::Nothing,
            Place::OffLinkOrigin,
            Place::OffLinkService,
        ],
        &[Trouble::None, Trouble::Loss10, Trouble::Loss30, Trouble::Reorder, Trouble::Slow, Trouble::Corrupt],
    ),
    (
        // Not over a cable that loses so much: what is not heard in time cannot win.
        &[Place::Replayed],
        &[Trouble::None, Trouble::Loss10, Trouble::Reorder, Trouble::Slow, Trouble::Corrupt],
    ),
    (&[Place::Http, Place::PhaseServe], &[Trouble::LatePort]),
    (
        &[Place::NoOriginAnswers, Place::OneOfTwoCuts, Place::OneOfTwoStalls, Place::OneOfTwoLies],
        &[Trouble::None, Trouble::Loss10],
    ),
];

/// The rows that `make test` has time for.
const QUICK: [Row; 4] = [
    Row { place: Place::Https, trouble: Trouble::Loss10 },
    Row { place: Place::Dht, trouble: Trouble::None },
    Row { place: Place::PhaseServe, trouble: Trouble::Corrupt },
    Row { place: Place::OffLinkService, trouble: Trouble::None },
];

/// All rows, in the order of the table.
pub(crate) fn rows() -> Vec<Row> {
    let of = |(places, troubles): &(&'static [Place], &'static [Trouble])| {
        let troubles = *troubles;
        places
            .iter()
            .flat_map(move |place| troubles.iter().map(|trouble| Row { place: *place, trouble: *trouble }))
            .collect::<Vec<_>>()
    };
    let mut rows: Vec<Row> = MATRIX.iter().flat_map(of).collect();
    rows.sort_by_key(|row| (row.place as u8, row.trouble as u8));
    rows
}

impl Row {
    /// The test's name.
    pub(crate) fn sentence(self) -> String {
        format!("{} mode {}{}", self.place.mode(), self.place.sentence(), self.trouble.sentence())
    }

    /// Whether `make test` runs it.
    pub(crate) fn is_quick(self) -> bool {
        QUICK.contains(&self)
    }
}

impl Place {
    /// The mode that looks there.
    pub(crate) fn mode(self) -> &'static str {
        if self as u8 <= Self::OneOfTwoLies as u8 { "internet" } else { "local" }
    }

    /// The table's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::HttpsIn1970 => "https, clock of 1970",
            Self::HttpsIn2099 => "https, clock of 2099",
            Self::Dht => "DHT",
            Self::DhtBesideADeadOrigin => "DHT, dead origin",
            Self::Proxy => "proxy",
            Self::NoOriginAnswers => "dead and empty origin",
            Self::OneOfTwoCuts => "two, one cuts",
            Self::OneOfTwoStalls => "two, one stalls",
            Self::OneOfTwoLies => "two, one lies",
            Self::PhaseServe => "phase serve --advertise",
            Self::Avahi => "avahi-publish",
            Self::DhcpUrl => "URL of DHCPv4",
            Self::Dhcp6Url => "URL of DHCPv6",
            Self::Replayed => "newer, replaying neighbour",
            Self::Nothing => "nothing",
            Self::OffLinkOrigin => "origin off the link",
            Self::OffLinkService => "service off the link",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Http => "boots from an http origin",
            Self::Https => "boots from an https origin",
            Self::HttpsIn1970 => "boots from an https origin with its clock in 1970",
            Self::HttpsIn2099 => "boots from an https origin with its clock in 2099",
            Self::Dht => "boots from the place that the DHT names",
            Self::DhtBesideADeadOrigin => "boots from the place that the DHT names beside a dead origin",
            Self::Proxy => "boots through a proxy",
            Self::NoOriginAnswers => "names every origin that has nothing",
            Self::OneOfTwoCuts => "boots though one of two origins cuts its answers",
            Self::OneOfTwoStalls => "boots though one of two origins stalls",
            Self::OneOfTwoLies => "boots though one of two origins lies",
            Self::PhaseServe => "boots from phase serve --advertise",
            Self::Avahi => "boots from what avahi-publish says",
            Self::DhcpUrl => "boots from the URL of a DHCPv4 server",
            Self::Dhcp6Url => "boots from the URL of a DHCPv6 server",
            Self::Replayed => "boots the newest release though a faster neighbour replays an older one",
            Self::Nothing => "says that nobody is there",
            Self::OffLinkOrigin => "refuses an origin off the link",
            Self::OffLinkService => "refuses a service off the link",
        }
    }
}

impl Trouble {
    /// The table's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Loss10 => "loss 10 %",
            Self::Loss30 => "loss 30 %",
            Self::Reorder => "delay, reordering",
            Self::Slow => "2 Mbit/s",
            Self::Corrupt => "corruption 1 %",
            Self::LatePort => "late port",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Loss10 => ", over a cable that loses 10 %",
            Self::Loss30 => ", over a cable that loses 30 %",
            Self::Reorder => ", over a cable that delays and reorders",
            Self::Slow => ", over a cable of 2 Mbit/s",
            Self::Corrupt => ", over a cable that corrupts 1 %",
            Self::LatePort => ", through a port that opens late",
        }
    }

    /// The cable.
    pub(crate) fn faults(self) -> Faults {
        let none = Faults::default();
        match self {
            Self::None => none,
            Self::Loss10 => none.loss(10.0),
            Self::Loss30 => none.loss(30.0),
            Self::Reorder => none.delay(Duration::from_millis(40), Duration::from_millis(15)).reorder(25.0),
            Self::Slow => none.rate(2_000_000),
            Self::Corrupt => none.corrupt(1.0),
            Self::LatePort => none.late_link(Duration::from_secs(8)),
        }
    }
}
