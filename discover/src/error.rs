//! Why a file did not arrive.

use std::io;
use std::net::IpAddr;

use thiserror::Error;

use crate::link::OffLink;
use crate::lookup::LookupFailed;
#[cfg(feature = "tls")]
use crate::tls::TlsFailed;

/// Why a file did not arrive. The text names the URL that was asked for, what was seen and what was wanted.
#[derive(Debug, Error)]
pub enum FetchError {
    /// A channel, architecture or digest that is no path component; nothing was asked.
    #[error("'{seen}' is not a name that can be asked for: wanted 1 to 64 of a-z, 0-9, '.', '_' and '-'")]
    Name {
        /// The name that was given.
        seen: String,
    },
    /// No name server knows the host, or none answered.
    #[error("{url}: the host name was not found; check the name and the name servers")]
    NameNotFound {
        /// What was asked for.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// No connection: refused, no route, reset before an answer.
    #[error("{url}: the server could not be reached")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// In local mode: an address behind a router. Nothing was sent.
    #[error("{url}: {address} is not on this link, and local mode sends nothing past it")]
    OffLink {
        /// What was asked for.
        url: String,
        /// The address.
        address: IpAddr,
    },
    /// The server did not prove to be the one of the URL, or does not speak TLS as we do.
    #[error("{url}: {reason}")]
    Tls {
        /// What was asked for.
        url: String,
        /// What was wrong, and what helps.
        reason: String,
    },
    /// One of the waits of [`Limits`](crate::Limits), or the caller's deadline, ended.
    #[error("{url}: nothing arrived in time while waiting for {phase}")]
    Timeout {
        /// What was asked for.
        url: String,
        /// What was waited for, in words.
        phase: &'static str,
    },
    /// The server answered, but not with the file.
    #[error("{url}: the server answered status {code}, wanted {wanted}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status of the answer.
        code: u16,
        /// 200, or 206 when a part of a file was asked for.
        wanted: u16,
    },
    /// A web page came instead of the file, as from a network that lets nobody through before a login.
    #[error(
        "{url}: a web page came instead of the file ({seen}). A network that wants a login first (a captive portal) does \
         this: log in there, or use another network; else check the address of the origin"
    )]
    CaptivePortal {
        /// What was asked for.
        url: String,
        /// What showed that it is a page, and where it came from.
        seen: String,
    },
    /// A redirect to nowhere, to another scheme than http, or one too many.
    #[error("{url}: the server redirects in a way that is not followed: {reason}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// What was wrong with it.
        reason: String,
    },
    /// The server compressed the file although identity was asked for.
    #[error("{url}: the server sends content encoding '{seen}', wanted the file as it is")]
    Encoding {
        /// What was asked for.
        url: String,
        /// The Content-Encoding of the answer.
        seen: String,
    },
    /// The answer's Content-Range is not the part that was asked for.
    #[error("{url}: the server sends the range '{seen}', wanted '{wanted}'")]
    Range {
        /// What was asked for.
        url: String,
        /// The Content-Range of the answer.
        seen: String,
        /// The only one that can be used.
        wanted: String,
    },
    /// The answer's Content-Length is not the size of what was asked for.
    #[error("{url}: the server offers {seen} bytes, wanted {wanted}")]
    Length {
        /// What was asked for.
        url: String,
        /// Bytes that the server offers.
        seen: u64,
        /// Bytes that are wanted, or the most that are accepted.
        wanted: u64,
    },
    /// More bytes came than are wanted.
    #[error("{url}: the server sent more than the {wanted} bytes that are wanted")]
    TooMuch {
        /// What was asked for.
        url: String,
        /// Bytes that are wanted, or the most that are accepted.
        wanted: u64,
    },
    /// The connection ended before the file did.
    #[error("{url}: the connection was cut after {got} of {wanted} bytes")]
    Cut {
        /// What was asked for.
        url: String,
        /// Where in the file the next byte would have been.
        got: u64,
        /// Where in the file the last byte that was asked for ends.
        wanted: u64,
    },
    /// The answer is not HTTP as we know it.
    #[error("{url}: the answer is not understood: {reason}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What was wrong with it.
        reason: String,
    },
}

impl FetchError {
    /// The failure in one short stable word, for markers and scripts (docs/markers.md).
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Name { .. } => "name",
            Self::NameNotFound { .. } => "dns",
            Self::Unreachable { .. } => "unreachable",
            Self::OffLink { .. } => "off-link",
            Self::Tls { .. } => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Status { .. } => "status",
            Self::CaptivePortal { .. } => "captive-portal",
            Self::Redirect { .. } => "redirect",
            Self::Encoding { .. } => "encoding",
            Self::Range { .. } => "range",
            Self::TooMuch { .. } => "too-much",
            Self::Length { seen, wanted, .. } if seen > wanted => "too-much",
            Self::Length { .. } => "length",
            Self::Cut { .. } => "cut",
            Self::Protocol { .. } => "protocol",
        }
    }

    /// Whether a new request for the rest may go better, with no change on the server: the connection was lost, not refused.
    pub fn may_resume(&self) -> bool {
        matches!(self, Self::Cut { .. } | Self::Timeout { .. } | Self::Unreachable { .. })
    }

    /// Translates what the HTTP library says, apart from a body that was cut ([`FetchError::Cut`]), which only the reader
    /// of that body can count.
    pub(crate) fn from_http(url: &str, error: ureq::Error) -> Self {
        let url = url.to_owned();
        match error {
            ureq::Error::HostNotFound => Self::NameNotFound { url, source: io::ErrorKind::NotFound.into() },
            ureq::Error::Timeout(ureq::Timeout::Resolve) => Self::Timeout { url, phase: "the name servers" },
            ureq::Error::Timeout(ureq::Timeout::Connect) => Self::Timeout { url, phase: "a connection" },
            ureq::Error::Timeout(ureq::Timeout::RecvResponse) => Self::Timeout { url, phase: "the answer" },
            ureq::Error::Timeout(ureq::Timeout::Global) => Self::Timeout { url, phase: "the whole file" },
            ureq::Error::Timeout(_) => Self::Timeout { url, phase: "the next bytes" },
            ureq::Error::TooManyRedirects => Self::Redirect { url, reason: "too many redirects".to_owned() },
            ureq::Error::TlsRequired => {
                let reason = "to https, and this build has no TLS; a network that wants a login first (a captive portal) \
                              does this too";
                Self::Redirect { url, reason: reason.to_owned() }
            }
            error @ (ureq::Error::RedirectFailed | ureq::Error::BadUri(_)) => {
                Self::Redirect { url, reason: error.to_string() }
            }
            ureq::Error::Io(source) => Self::Unreachable { url, source },
            ureq::Error::RequireHttpsOnly(_) => Self::Redirect { url, reason: "from https to http".to_owned() },
            ureq::Error::Other(other) => Self::from_ours(url, other),
            other => Self::Protocol { url, reason: other.to_string() },
        }
    }

    /// Translates what our own resolver and connector said through the HTTP library.
    fn from_ours(url: String, error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        let error = match error.downcast::<LookupFailed>() {
            Ok(failed) => return Self::NameNotFound { url, source: failed.0 },
            Err(other) => other,
        };
        if let Some(OffLink(address)) = error.downcast_ref() {
            return Self::OffLink { url, address: *address };
        }
        #[cfg(feature = "tls")]
        if let Some(failed) = error.downcast_ref::<TlsFailed>() {
            return Self::Tls { url, reason: failed.to_string() };
        }
        Self::Protocol { url, reason: error.to_string() }
    }
}
