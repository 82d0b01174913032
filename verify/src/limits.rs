//! Every limit of this crate, in one place.

/// How much of anything is accepted before, or instead of, looking at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one envelope: a manifest in base64 and its signatures. A fetcher should stop reading here, too.
    pub envelope_bytes: usize,
    /// Bytes of one manifest, decoded.
    pub manifest_bytes: usize,
    /// Bytes of one trust file.
    pub trust_bytes: usize,
    /// Bytes of a state; also the size of the TPM's NV index that may hold it.
    pub state_bytes: usize,
    /// Epochs that a state may be ahead of the trust file in force: more than any owner makes trust files, since a state
    /// beyond it is damaged rather than a sign that one is withheld.
    pub epochs_ahead: u64,
    /// Bytes of the Sigsum policy in a trust file.
    pub sigsum_policy_bytes: usize,
    /// Witnesses and groups that one group of that policy comes to, members of members each time anew.
    pub sigsum_group_members: u64,
    /// Keys whose submissions to a log count.
    pub submitters: usize,
    /// Bytes of a proof that a release was logged. A fetcher should stop reading here, too.
    pub proof_bytes: usize,
    /// Objects and arrays inside each other; keeps the parser's stack small.
    pub json_depth: usize,
    /// Fields of one object, or elements of one array; keeps the search for duplicate names cheap.
    pub json_members: usize,
    /// Signatures of one envelope; each costs a curve operation if its key is listed.
    pub signatures: usize,
    /// Keys of one role.
    pub role_keys: usize,
    /// Envelopes that one boot attempt looks at.
    pub candidates: usize,
    /// Rotations that one boot follows: each is looked for on the network.
    pub rotations: usize,
    /// Envelopes that are looked at for one look at the successors of a trust file: as many `rotations` as 8 origins
    /// of each of 3 ways to find them can send, or junk of two could crowd out a true one. Equal ones count once.
    pub rotation_candidates: usize,
    /// Bytes of the signed kernel command line: the kernel's own limit is 2048, and the machine's additions need room.
    pub cmdline_bytes: usize,
    /// Bytes of the path of the release's init.
    pub init_bytes: usize,
    /// Largest root file system in bytes: the size field of a newc member has 32 bits.
    pub rootfs_bytes: u64,
    /// Largest kernel or initramfs in bytes: `kexec_file_load` reads files below 2 GiB.
    pub kexec_file_bytes: u64,
    /// Smallest piece of an artifact in bytes: smaller ones would make lists that are not small.
    pub chunk_bytes_min: u64,
    /// Largest piece in bytes: so much is received in vain if a source lies.
    pub chunk_bytes_max: u64,
    /// Pieces whose digests may stand in the manifest itself.
    pub inline_pieces: usize,
    /// Pieces of one artifact; the list of their digests is a blob of 128 KiB then.
    pub pieces: usize,
    /// Largest integer in any document: 2^53 - 1, beyond which JSON readers disagree (RFC 8259, section 6).
    pub integer: u64,
    /// Seconds that `issued` may lie after a trusted clock: RTCs that keep local time are up to 14 h off.
    pub future_seconds: u64,
    /// Seconds after the newest time that we know of in which an RTC is still believed; also how far `issued` may lie
    /// after the trust file was built.
    pub clock_seconds: u64,
    /// Bytes of the event log of measured boot: some 50 events, of which a boot writes 7. It stands in the hand-off, in base64.
    pub measured_log_bytes: usize,
    /// Days that a manifest may be valid if the trust file does not say.
    pub validity_days: u64,
    /// Most days that a trust file may allow.
    pub validity_days_max: u64,
}

/// The limits that are in force.
pub const LIMITS: Limits = Limits {
    envelope_bytes: 128 << 10,
    manifest_bytes: 64 << 10,
    trust_bytes: 64 << 10,
    state_bytes: 512,
    epochs_ahead: 1000,
    sigsum_policy_bytes: 8 << 10,
    sigsum_group_members: 1000,
    submitters: 16,
    proof_bytes: 16 << 10,
    json_depth: 8,
    json_members: 1024,
    signatures: 32,
    role_keys: 16,
    candidates: 64,
    rotations: 32,
    rotation_candidates: 3 * 8 * 32,
    cmdline_bytes: 1536,
    init_bytes: 255,
    rootfs_bytes: (4 << 30) - 1,
    kexec_file_bytes: (2 << 30) - 1,
    chunk_bytes_min: 64 << 10,
    chunk_bytes_max: 16 << 20,
    inline_pieces: 64,
    pieces: 4096,
    integer: (1 << 53) - 1,
    future_seconds: 24 * 3600,
    clock_seconds: 15 * 365 * 24 * 3600,
    measured_log_bytes: 16 << 10,
    validity_days: 400,
    validity_days_max: 3660,
};
