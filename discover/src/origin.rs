//! An origin: one published tree (docs/formats.md, "Published tree") on a static web server.
//!
//! An [`Origin`] asks for the files of that tree and no others, and streams a blob into memory that its caller owns. It accepts
//! nothing that was not asked for: no content encoding, no other range, no byte more than the size that was given.

use std::fmt;
use std::io::{self, Read};
use std::time::Instant;

use ureq::http::{Response, header};
use ureq::{Agent, Body};

use crate::base::Base;
use crate::line::{Dial, Direct, Line};
use crate::lookup::Lookup;
use crate::{FetchError, Hangup, Limits, OriginError, Proxy, portal};

/// How we introduce ourselves.
const USER_AGENT: &str = concat!("phase-boot/", env!("CARGO_PKG_VERSION"));

/// Where the bytes of a blob go: memory of the caller, filled front to back.
///
/// The bytes are hashed by whoever owns the memory; this crate only places them.
pub trait Sink {
    /// The place for the next bytes: as much or as little as is handy. Empty when no more are wanted: because all have
    /// arrived, or because those that did are not worth going on.
    fn space(&mut self) -> &mut [u8];
    /// The first `n` bytes of the last [`Sink::space`] now hold what came next.
    fn filled(&mut self, n: usize);
    /// Where in the blob the next byte belongs.
    fn position(&self) -> u64;
}

/// One published tree on a web server. Every file is asked for on a connection of its own.
#[derive(Debug, Clone)]
pub struct Origin {
    base: Base,
    limits: Limits,
    dial: Dial,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base.shown)
    }
}

impl Origin {
    /// Reads `http[s]://HOST[:PORT][/PATH]`, with the default [`Limits`].
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        Self::with_limits(text, Limits::default())
    }

    /// Reads `http[s]://HOST[:PORT][/PATH]`; `limits` count for everything that is fetched from there.
    pub fn with_limits(text: &str, limits: Limits) -> Result<Self, OriginError> {
        let base = Base::parse(text, limits.url_bytes)?;
        Ok(Self { base, limits, dial: Dial::default() })
    }

    /// The same place under the rule of local mode: its host has to be an address, nothing is sent to an address that is
    /// reached through a router ([`FetchError::OffLink`]), and no redirect is followed.
    pub fn on_link(mut self) -> Result<Self, OriginError> {
        if self.base.address.is_none() {
            return Err(OriginError::HostName { seen: self.base.shown });
        }
        self.dial.on_link = true;
        self.dial.proxy = None;
        Ok(self)
    }

    /// The same place, asked through a proxy; under the rule of local mode it is not.
    #[must_use]
    pub fn through(mut self, proxy: &Proxy) -> Self {
        self.dial.proxy = Some(proxy.clone()).filter(|_| !self.dial.on_link);
        self
    }

    /// The same place, whose servers prove themselves by `tls` if they speak https.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: crate::Tls) -> Self {
        self.dial.tls = tls;
        self
    }

    /// The same place, whose requests end when somebody hangs up.
    #[must_use]
    pub fn with_hangup(mut self, hangup: &Hangup) -> Self {
        self.dial.hangup = hangup.clone();
        self
    }

    /// The URL of the tree, without a slash at its end; an IPv6 address of one link only with its zone.
    pub fn base(&self) -> &str {
        &self.base.shown
    }

    /// Fetches the envelope of the newest release of a channel: `<base>/<channel>/<arch>/manifest.dsse.json`, at most
    /// [`Limits::envelope_bytes`].
    pub fn envelope(&self, channel: &str, arch: &str, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        let url = format!("{}/{}/{}/manifest.dsse.json", self.base.url, component(channel)?, component(arch)?);
        self.document(url, self.limits.envelope_bytes, deadline)
    }

    /// Fetches the proof that stands beside that envelope: `manifest.sigsum-proof`, at most [`Limits::proof_bytes`].
    pub fn proof(&self, channel: &str, arch: &str, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        let url = format!("{}/{}/{}/manifest.sigsum-proof", self.base.url, component(channel)?, component(arch)?);
        self.document(url, self.limits.proof_bytes, deadline)
    }

    /// Fetches the envelope of the trust file of an epoch: `<base>/trust/<epoch>.dsse.json`, at most
    /// [`Limits::envelope_bytes`].
    pub fn trust(&self, epoch: u64, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        self.document(format!("{}/trust/{epoch}.dsse.json", self.base.url), self.limits.envelope_bytes, deadline)
    }

    /// Fetches what a machine that shares says of the `pieces` pieces of the blob named `hex` (docs/formats.md, "Sharing"):
    /// `<base>/share/<hex>`, at most one byte for each.
    pub fn share(&self, hex: &str, pieces: u64, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        self.document(format!("{}/share/{}", self.base.url, component(hex)?), pieces, deadline)
    }

    /// Fetches a small file whose size is not known.
    fn document(&self, url: String, limit: u64, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        let mut response = self.ask(&url, None, deadline, self.line(deadline))?;
        let offered = content_length(&response);
        if let Some(seen) = offered.filter(|&seen| seen > limit) {
            return Err(FetchError::Length { url, seen, wanted: limit });
        }
        let mut document = Vec::new();
        let outcome = response.body_mut().as_reader().take(limit + 1).read_to_end(&mut document);
        let got = document.len() as u64;
        match outcome {
            Err(error) => Err(body_error(&url, error, got, offered.unwrap_or(limit))),
            Ok(_) if got > limit => Err(FetchError::TooMuch { url, wanted: limit }),
            Ok(_) if portal::is_page(&document) => Err(portal::error(&url, &response, "it begins like HTML")),
            Ok(_) => Ok(document),
        }
    }

    /// Fetches the blob named `hex` (its SHA-256) of exactly `size` bytes into `sink`, from `<base>/blobs/sha256/<hex>`,
    /// from [`Sink::position`] to before byte `end`, or to where the sink wants no more.
    ///
    /// After [`FetchError::Cut`] the same call with the same sink goes on where it ended. `on_progress` gets the sink's
    /// position, after every read. Of a server that ignores a range nothing is taken.
    pub fn blob(
        &self,
        hex: &str,
        size: u64,
        end: u64,
        sink: &mut dyn Sink,
        deadline: Instant,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        let url = format!("{}/blobs/sha256/{}", self.base.url, component(hex)?);
        let (first, end) = (sink.position(), end.min(size));
        if first >= end {
            return Ok(());
        }
        let range = (first > 0 || end < size).then_some(Range { first, end, size });
        let line = self.line(deadline);
        let mut response = self.ask(&url, range.as_ref(), deadline, line.clone())?;
        let (offered, left) = (content_length(&response), end - first);
        match offered {
            Some(seen) if seen != left && portal::is_html(&response) => {
                Err(portal::error(&url, &response, "its type is text/html"))
            }
            Some(seen) if seen != left => Err(FetchError::Length { url, seen, wanted: left }),
            Some(_) => {
                let mut body = Direct::new(response.body_mut().as_reader(), line, left, self.limits.idle, deadline);
                receive(&url, &mut body, end, sink, on_progress)
            }
            None => receive(&url, &mut response.body_mut().as_reader(), end, sink, on_progress),
        }
    }

    /// Sends one GET and checks everything about the answer that does not depend on its length.
    fn ask(
        &self,
        url: &str,
        range: Option<&Range>,
        deadline: Instant,
        line: Line,
    ) -> Result<Response<Body>, FetchError> {
        let mut request = self.agent(deadline, line).get(url);
        if let Some(range) = range {
            request = request.header(header::RANGE, range.asked());
        }
        let response = request.call().map_err(|error| FetchError::from_http(&self.shown(url), error))?;

        let (code, wanted) = (response.status().as_u16(), if range.is_some() { 206 } else { 200 });
        if self.dial.on_link && response.status().is_redirection() {
            let reason = "local mode follows none".to_owned();
            return Err(FetchError::Redirect { url: url.to_owned(), reason });
        }
        if code == portal::LOGIN_FIRST {
            return Err(portal::error(url, &response, "status 511"));
        }
        if code != wanted {
            return Err(FetchError::Status { url: url.to_owned(), code, wanted });
        }
        if let Some(seen) = header_of(&response, &header::CONTENT_ENCODING).filter(|seen| seen != "identity") {
            return Err(FetchError::Encoding { url: url.to_owned(), seen });
        }
        if let Some(range) = range {
            let seen = header_of(&response, &header::CONTENT_RANGE).unwrap_or_default();
            let wanted = range.answered();
            if seen != wanted {
                return Err(FetchError::Range { url: url.to_owned(), seen, wanted });
            }
        }
        Ok(response)
    }

    /// A URL for the message of a failed connection: it is the proxy's, if there is one.
    fn shown(&self, url: &str) -> String {
        match &self.dial.proxy {
            Some(proxy) => format!("{url} through the proxy {proxy}"),
            None => url.to_owned(),
        }
    }

    fn line(&self, deadline: Instant) -> Line {
        Line::new(self.dial.clone(), deadline)
    }

    /// The HTTP client of one request. A proxy in the environment is ignored: PID 1 was given its places by name. Ours is
    /// not the library's either, which would ask it for a tunnel (CONNECT) that most proxies refuse for plain HTTP.
    fn agent(&self, deadline: Instant, line: Line) -> Agent {
        let limits = &self.limits;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(self.base.https)
            .proxy(None)
            .max_redirects(if self.dial.on_link { 0 } else { limits.redirects })
            .user_agent(USER_AGENT)
            .accept("*/*")
            .accept_encoding("identity")
            .max_response_header_size(limits.header_bytes)
            .timeout_global(Some(deadline.saturating_duration_since(Instant::now())))
            .timeout_resolve(Some(limits.resolve))
            .timeout_connect(Some(limits.connect))
            .timeout_recv_response(Some(limits.first_byte))
            .timeout_per_read(Some(limits.idle))
            .timeout_per_write(Some(limits.idle))
            .build();
        Agent::with_parts(config, line, Lookup::new(self.base.zone.clone(), &self.dial))
    }
}

/// A part of a file of `size` bytes, from byte `first` to before byte `end` (RFC 9110, section 14).
struct Range {
    first: u64,
    end: u64,
    size: u64,
}

impl Range {
    fn asked(&self) -> String {
        let Self { first, end, size } = *self;
        if end == size { format!("bytes={first}-") } else { format!("bytes={first}-{}", end - 1) }
    }

    fn answered(&self) -> String {
        format!("bytes {}-{}/{}", self.first, self.end - 1, self.size)
    }
}

/// Streams a body into the sink until byte `end`, and makes sure that nothing follows.
fn receive(
    url: &str,
    reader: &mut dyn Read,
    end: u64,
    sink: &mut dyn Sink,
    on_progress: &mut dyn FnMut(u64),
) -> Result<(), FetchError> {
    let mut got = sink.position();
    while got < end {
        let space = sink.space();
        let room = space.len().min(usize::try_from(end - got).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(());
        }
        match reader.read(&mut space[..room]) {
            Ok(0) => return Err(FetchError::Cut { url: url.to_owned(), got, wanted: end }),
            Ok(n) => {
                sink.filled(n);
                got += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(body_error(url, error, got, end)),
        }
        on_progress(got);
    }
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(FetchError::TooMuch { url: url.to_owned(), wanted: end }),
        Err(error) => Err(body_error(url, error, end, end)),
    }
}

/// What a failed read of a body means.
fn body_error(url: &str, error: io::Error, got: u64, wanted: u64) -> FetchError {
    match ureq::Error::from(error) {
        ureq::Error::Io(_) => FetchError::Cut { url: url.to_owned(), got, wanted },
        other => FetchError::from_http(url, other),
    }
}

fn content_length(response: &Response<Body>) -> Option<u64> {
    response.body().content_length()
}

/// A header's value as text; what is not text comes out as replacement characters, since it is only shown or compared.
fn header_of(response: &Response<Body>, name: &header::HeaderName) -> Option<String> {
    response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Accepts a name only if it is one component of a path, so that no caller's mistake reaches another file.
fn component(name: &str) -> Result<&str, FetchError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != ".." {
        Ok(name)
    } else {
        Err(FetchError::Name { seen: name.to_owned() })
    }
}

#[cfg(test)]
mod tests;
