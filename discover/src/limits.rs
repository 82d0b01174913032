//! How much of anything a network may cost us.

use std::time::Duration;

/// Limits on what is asked for, kept and waited for. [`Limits::default`] is what the boot uses; tests make them smaller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest origin URL, in bytes.
    pub url_bytes: usize,
    /// Most origins that are asked at once; a list longer than this is cut.
    pub origins: usize,
    /// Largest envelope, in bytes.
    pub envelope_bytes: u64,
    /// Largest proof beside an envelope, in bytes.
    pub proof_bytes: u64,
    /// Trust files that one boot asks an origin for.
    pub rotations: usize,
    /// What all trust files of one origin may have, in bytes. Each has its own, so that nobody uses up another's.
    pub rotation_bytes: usize,
    /// Largest response header, in bytes.
    pub header_bytes: usize,
    /// Largest list of pinned TLS roots, in bytes.
    pub roots_bytes: usize,
    /// Most services on the link that are used, and most that a route is waited for.
    pub services: usize,
    /// Most addresses of one service.
    pub addresses: usize,
    /// Most remarks of one search: anybody on the link can cause one.
    pub remarks: usize,
    /// Most redirects that are followed for one file.
    pub redirects: u32,
    /// Longest wait for an answer of the name servers.
    pub resolve: Duration,
    /// Longest wait for a TCP connection, all addresses of the name together.
    pub connect: Duration,
    /// Longest wait from the request to the end of the response's header.
    pub first_byte: Duration,
    /// Longest wait for the next bytes of a body.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            url_bytes: 2048,
            origins: 8,
            envelope_bytes: 128 << 10,
            proof_bytes: 16 << 10,
            rotations: 32,
            rotation_bytes: 1 << 20,
            header_bytes: 16 << 10,
            roots_bytes: 64 << 10,
            services: 32,
            addresses: 16,
            remarks: 64,
            redirects: 4,
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(15),
            idle: Duration::from_secs(15),
        }
    }
}
