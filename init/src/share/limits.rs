//! What neighbours may cost this machine (docs/formats.md, "Sharing").

use std::time::Duration;

/// What neighbours may cost this machine.
#[derive(Debug)]
pub struct Limits {
    /// Longest head of a request, in bytes.
    pub head_bytes: usize,
    /// Most fields of a request.
    pub fields: usize,
    /// Most connections at once.
    pub connections: usize,
    /// Most connections of one address at once.
    pub connections_of_one: usize,
    /// Most addresses that are served.
    pub peers: usize,
    /// How often one address may have everything.
    pub copies: u64,
    /// Bytes that one address may have besides.
    pub allowance_bytes: u64,
    /// Longest wait for a whole request.
    pub request: Duration,
    /// What every answer may take beside the time that its size allows.
    pub answer: Duration,
    /// The slowest rate of an answer, in bytes per second.
    pub slowest: u64,
    /// Longest wait for a peer to take the next bytes.
    pub idle: Duration,
    /// Longest wait for a peer to close its side.
    pub close: Duration,
    /// The machine jumps when nobody has asked for this long,
    pub silence: Duration,
    /// and after this long in any case.
    pub wait: Duration,
}

/// The limits of every boot.
pub const LIMITS: Limits = Limits {
    head_bytes: 4096,
    fields: 32,
    connections: 64,
    connections_of_one: 8,
    peers: 256,
    copies: 4,
    allowance_bytes: 16 << 20,
    request: Duration::from_secs(5),
    answer: Duration::from_secs(15),
    slowest: 64 << 10,
    idle: Duration::from_secs(10),
    close: Duration::from_secs(2),
    silence: Duration::from_secs(3),
    wait: Duration::from_mins(1),
};
