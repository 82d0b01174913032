//! A second verifier, written from docs/formats.md alone and as plainly as can be: no error but "no", no type but the
//! JSON itself. The property tests and the fuzz target `differential` hold `verify` against it: where the two disagree,
//! one of them does not do what is written.
//!
//! It leaves one field to `verify`: a trust file with `policy.transparency` is [`Verdict::NotKnown`].

pub(crate) mod agree;
mod json;

use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use json::Json;
use sha2::{Digest, Sha256};

/// Seconds in 15 years of 365 days, in which a time is believed.
const YEARS_15: u64 = 15 * 365 * 86400;

/// What this verifier says of a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict<T> {
    Yes(T),
    No,
    NotKnown,
}

/// A trust file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    pub(crate) channel: String,
    pub(crate) epoch: u64,
    pub(crate) built: u64,
    minimum_version: u64,
    pub(crate) floor_epoch: u64,
    release: Role,
    refuses_expired: bool,
    days: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Role {
    threshold: usize,
    keys: Vec<[u8; 32]>,
}

/// What is asked about a release, besides its bytes.
pub(crate) struct Question<'a> {
    pub(crate) trust: &'a Trust,
    pub(crate) arch: &'a str,
    pub(crate) now: u64,
    pub(crate) now_is_believed: bool,
    pub(crate) floor_version: u64,
    pub(crate) floor_epoch: u64,
}

/// A release that is accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) version: u64,
    pub(crate) manifest_sha256: String,
    pub(crate) signers: Vec<String>,
}

/// An object's members, taken one by one; what is left at the end may only be `x-…`.
struct Members(Vec<(String, Json)>);

impl Members {
    fn of(json: Json) -> Option<Self> {
        if let Json::Object(members) = json { Some(Self(members)) } else { None }
    }

    fn any(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(member, _)| member == name)?;
        Some(self.0.remove(at).1)
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(member, _)| member == name)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        if let Json::Text(text) = self.any(name)? { Some(text) } else { None }
    }

    fn integer(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        if let Json::Integer(n) = self.any(name)? { (least..=most).contains(&n).then_some(n) } else { None }
    }

    /// The integer, or `absent` if there is no such member.
    fn integer_or(&mut self, name: &str, least: u64, most: u64, absent: u64) -> Option<u64> {
        if self.has(name) { self.integer(name, least, most) } else { Some(absent) }
    }

    fn object(&mut self, name: &str) -> Option<Self> {
        Self::of(self.any(name)?)
    }

    fn array(&mut self, name: &str) -> Option<Vec<Json>> {
        if let Json::Array(elements) = self.any(name)? { Some(elements) } else { None }
    }

    /// One of two words, or `absent` if there is no such member: whether it is the first.
    fn is(&mut self, name: &str, words: [&str; 2], absent: Option<bool>) -> Option<bool> {
        match absent {
            Some(absent) if !self.has(name) => Some(absent),
            _ => {
                let word = self.text(name)?;
                words.contains(&word.as_str()).then_some(word == words[0])
            }
        }
    }

    fn end(&self) -> Option<()> {
        self.0.iter().all(|(name, _)| name.starts_with("x-")).then_some(())
    }
}

/// "Trust file".
pub(crate) fn trust(bytes: &[u8]) -> Verdict<Trust> {
    let says = |json: &Json| {
        let policy = Members::of(json.clone())?.object("policy")?;
        Some(policy.has("transparency"))
    };
    match json::read(bytes, 64 << 10) {
        Some(json) if says(&json) == Some(true) => Verdict::NotKnown,
        Some(json) => read_trust(json).map_or(Verdict::No, Verdict::Yes),
        None => Verdict::No,
    }
}

fn read_trust(json: Json) -> Option<Trust> {
    let mut file = Members::of(json)?;
    let mut roles = file.object("roles")?;
    let mut policy = file.object("policy")?;
    (file.text("schema")? == "phase.trust/1").then_some(())?;
    let epoch = file.integer("epoch", 1, u64::MAX)?;
    let trust = Trust {
        channel: file.text("channel").filter(|name| is_channel(name))?,
        epoch,
        built: time(&file.text("built")?)?,
        minimum_version: file.integer("minimum_version", 0, u64::MAX)?,
        floor_epoch: file.integer_or("floor_epoch", 0, epoch, 0)?,
        release: role(roles.object("release")?)?,
        refuses_expired: policy.is("expiry", ["refuse", "warn"], None)?,
        days: policy.integer_or("max_validity_days", 1, 3660, 400)?,
    };
    role(roles.object("root")?)?;
    matches!(policy.any("rescue_prompt")?, Json::Boolean(_)).then_some(())?;
    policy.is("state", ["refuse", "warn"], Some(false))?;
    file.end().and(roles.end()).and(policy.end())?;
    Some(trust)
}

fn role(mut role: Members) -> Option<Role> {
    let mut keys = Vec::new();
    for key in role.array("keys")? {
        let mut key = Members::of(key)?;
        let public: [u8; 32] = unhex(&key.text("public")?)?.try_into().ok()?;
        let point = VerifyingKey::from_bytes(&public).ok()?;
        let canonical = point.to_edwards().compress().as_bytes() == &public;
        let name = key.text("name")?;
        let named = (1..=64).contains(&name.len()) && name.bytes().all(|b| (0x20..0x7f).contains(&b));
        (canonical && !point.is_weak() && named && !keys.contains(&public)).then_some(())?;
        key.end()?;
        keys.push(public);
    }
    let threshold = usize::try_from(role.integer("threshold", 1, 16)?).ok()?;
    role.end()?;
    (keys.len() <= 16 && threshold <= keys.len()).then_some(Role { threshold, keys })
}

/// "State": channel, epoch, version, issued.
pub(crate) fn state(bytes: &[u8]) -> Option<(String, u64, u64, u64)> {
    let mut state = Members::of(json::read(bytes, 512)?)?;
    (state.text("schema")? == "phase.state/1").then_some(())?;
    let channel = state.text("channel").filter(|name| is_channel(name))?;
    let (epoch, version) = (state.integer("epoch", 1, u64::MAX)?, state.integer("version", 0, u64::MAX)?);
    let issued = time(&state.text("issued")?)?;
    state.end()?;
    Some((channel, epoch, version, issued))
}

/// "Envelope (DSSE)" and "Manifest", and everything that is said about believing one.
pub(crate) fn release(bytes: &[u8], question: &Question<'_>) -> Option<Release> {
    let trust = question.trust;
    let mut envelope = Members::of(json::read(bytes, 128 << 10)?)?;
    let payload = unbase64(&envelope.text("payload")?)?;
    let kind = envelope.text("payloadType")?;
    let mut signatures = Vec::new();
    for signature in envelope.array("signatures")? {
        let mut signature = Members::of(signature)?;
        let id: [u8; 32] = unhex(&signature.text("keyid")?)?.try_into().ok()?;
        let bytes: [u8; 64] = unbase64(&signature.text("sig")?)?.try_into().ok()?;
        signature.end()?;
        signatures.push((id, bytes));
    }
    envelope.end()?;
    let typed = kind == "application/vnd.phase.boot.manifest.v1+json";
    ((1..=32).contains(&signatures.len()) && typed).then_some(())?;

    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend(&payload);
    let mut signers: Vec<String> = Vec::new();
    for (id, bytes) in &signatures {
        let key = trust.release.keys.iter().find(|key| Sha256::digest(key)[..] == id[..]);
        let good = key.is_some_and(|key| {
            let key = VerifyingKey::from_bytes(key).expect("read before");
            key.verify(&signed, &Signature::from_bytes(bytes)).is_ok()
        });
        if good && !signers.contains(&hex(id)) {
            signers.push(hex(id));
        }
    }
    (signers.len() >= trust.release.threshold && trust.epoch >= question.floor_epoch).then_some(())?;

    let manifest = manifest(&payload)?;
    let Manifest { channel, arch, version, min_epoch, issued, expires } = manifest;
    let here = channel == trust.channel && arch == question.arch && min_epoch <= trust.epoch;
    let new = version >= trust.minimum_version && version >= question.floor_version;
    let believable = issued <= trust.built + YEARS_15;
    let short = expires <= issued + trust.days * 86400;
    let begun = !question.now_is_believed || issued <= question.now + 86400;
    let current = question.now < expires || !trust.refuses_expired;
    (here && new && believable && short && begun && current).then_some(())?;
    Some(Release { version, manifest_sha256: hex(&Sha256::digest(&payload)), signers })
}

/// Of a manifest, what a question is asked about.
pub(crate) struct Manifest {
    channel: String,
    arch: String,
    version: u64,
    min_epoch: u64,
    issued: u64,
    expires: u64,
}

/// "Manifest".
pub(crate) fn manifest(bytes: &[u8]) -> Option<Manifest> {
    let mut file = Members::of(json::read(bytes, 64 << 10)?)?;
    (file.text("schema")? == "phase.boot/1").then_some(())?;
    let manifest = Manifest {
        channel: file.text("channel").filter(|name| is_channel(name))?,
        arch: file.text("arch").filter(|arch| arch == "x86_64" || arch == "aarch64")?,
        version: file.integer("version", 0, u64::MAX)?,
        min_epoch: file.integer("min_epoch", 0, u64::MAX)?,
        issued: time(&file.text("issued")?)?,
        expires: time(&file.text("expires")?)?,
    };
    let cmdline = file.text("cmdline")?;
    let init = file.text("init")?;
    let printable = cmdline.len() <= 1536 && cmdline.bytes().all(|b| (0x20..0x7f).contains(&b));
    let absolute = init.starts_with('/') && !init.ends_with('/') && !init.split('/').any(|part| part == "..");
    let plain = init.len() <= 255 && init.bytes().all(|b| (0x21..0x7f).contains(&b));
    (printable && absolute && plain && manifest.issued < manifest.expires).then_some(())?;

    let mut ways = Vec::new();
    for way in file.array("handoff")? {
        let Json::Text(way) = way else { return None };
        (["kexec", "direct", "foreign"].contains(&way.as_str()) && !ways.contains(&way)).then_some(())?;
        ways.push(way);
    }
    let upper = file.has("upper");
    if upper {
        (file.text("upper")? == "persistent").then_some(())?;
    }
    let [kernel, initramfs, rootfs] = ["kernel", "initramfs", "rootfs"].map(|name| file.has(name));
    let below_2_gib = (2 << 30) - 1;
    if kernel {
        artifact(file.object("kernel")?, below_2_gib, Some("init_size"))?;
    }
    if initramfs {
        artifact(file.object("initramfs")?, below_2_gib, Some("unpacked_size"))?;
    }
    if rootfs {
        artifact(file.object("rootfs")?, (4 << 30) - 1, None)?;
    }
    let needs = |way: &str| ways.iter().any(|other| other == way);
    let files = kernel == initramfs && (kernel || !(needs("kexec") || needs("foreign")));
    let root = rootfs || !(needs("kexec") || needs("direct") || upper);
    file.end()?;
    (files && root && !ways.is_empty()).then_some(manifest)
}

/// "`name`, `size`, `sha256`" and "Pieces".
fn artifact(mut file: Members, largest: u64, measure: Option<&str>) -> Option<()> {
    if let Some(measure) = measure {
        file.integer(measure, 1, u64::MAX)?;
    }
    let name = file.text("name")?;
    let allowed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    ((1..=64).contains(&name.len()) && allowed && !name.starts_with('.')).then_some(())?;
    let size = file.integer("size", 1, largest)?;
    unhex(&file.text("sha256")?).filter(|digest| digest.len() == 32)?;
    if file.has("chunk_size") || file.has("chunks") {
        let piece = file.integer("chunk_size", 65536, 16_777_216)?;
        let count = usize::try_from(size.div_ceil(piece)).ok()?;
        (piece.is_power_of_two() && count <= 4096).then_some(())?;
        match file.any("chunks")? {
            Json::Array(digests) => {
                let all = digests.iter().all(|digest| matches!(digest, Json::Text(hex) if is_digest(hex)));
                (all && digests.len() == count && count <= 64).then_some(())?;
            }
            Json::Object(list) => {
                let mut list = Members(list);
                list.text("list_sha256").filter(|hex| is_digest(hex))?;
                list.end()?;
            }
            _ => return None,
        }
    }
    file.end()
}

fn is_digest(hex: &str) -> bool {
    unhex(hex).is_some_and(|digest| digest.len() == 32)
}

fn is_channel(name: &str) -> bool {
    let allowed = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b));
    (1..=32).contains(&name.len()) && allowed && name != "." && name != ".."
}

/// RFC 3339 in UTC with `Z`, whole seconds: seconds since 1970, counted day by day.
fn time(text: &str) -> Option<u64> {
    let pattern = "dddd-dd-ddTdd:dd:ddZ";
    let fits = |(seen, wanted): (char, char)| if wanted == 'd' { seen.is_ascii_digit() } else { seen == wanted };
    (text.len() == pattern.len() && text.chars().zip(pattern.chars()).all(fits)).then_some(())?;
    let number = |from: usize, to: usize| text[from..to].parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month).ok()?.checked_sub(1)?;
    let valid = year >= 1970 && before < 12 && day >= 1 && day <= months[before];
    (valid && hour < 24 && minute < 60 && second < 60).then_some(())?;
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let days = years + months[..before].iter().sum::<u64>() + day - 1;
    Some(days * 86400 + hour * 3600 + minute * 60 + second)
}

/// Lower-case hex digits, two a byte.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().map(|c| c.to_digit(16).filter(|_| !c.is_ascii_uppercase())).collect::<Option<_>>()?;
    let byte = |pair: &[u32]| u8::try_from(pair[0] << 4 | pair[1]).ok();
    if digits.len().is_multiple_of(2) { digits.chunks(2).map(byte).collect() } else { None }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// "Standard base64 with padding": RFC 4648, section 4, in its one canonical form.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    (text.len().is_multiple_of(4) && padding <= 2).then_some(())?;
    let mut bits = Vec::new();
    for digit in digits.chars() {
        let value = ALPHABET.find(digit)?;
        bits.extend((0..6).rev().map(|bit| value >> bit & 1 == 1));
    }
    let bytes = bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect();
    // What is left after the last whole byte is only filling.
    bits.chunks_exact(8).remainder().iter().all(|bit| !bit).then_some(bytes)
}
