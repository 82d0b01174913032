//! Recognises the web page that comes instead of a file where a network lets nobody through before a login.

use ureq::http::{Response, header};
use ureq::{Body, ResponseExt as _};

use crate::FetchError;

/// RFC 6585, section 6: the network wants a login first.
pub(crate) const LOGIN_FIRST: u16 = 511;

/// Whether an envelope is a web page: JSON never begins like one, whatever the server calls it.
pub(crate) fn is_page(body: &[u8]) -> bool {
    // A byte order mark may stand first.
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start().starts_with(b"<")
}

/// Whether the server calls its answer a web page.
pub(crate) fn is_html(response: &Response<Body>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/html"))
}

/// The error for a page, with the place where a redirect led.
pub(crate) fn error(url: &str, response: &Response<Body>, sign: &str) -> FetchError {
    let place = response.get_uri().to_string();
    let seen = if place == url { sign.to_owned() } else { format!("{sign}; it came from {place}") };
    FetchError::CaptivePortal { url: url.to_owned(), seen }
}
