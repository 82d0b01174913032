//! The access log: one line per request, written when its body has been sent or the client has gone; large transfers
//! show a bar while they run.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State},
    http::{Method, header::CONTENT_LENGTH},
    middleware::{self, Next},
    response::Response,
};
use http_body::{Body as _, Frame, SizeHint};
use indicatif::{MultiProgress, ProgressBar};
use verify::Timestamp;

use crate::{clock, progress};

/// Bodies below this are over before a bar could be read.
const BAR_FROM: u64 = 8 << 20;

/// Whether requests are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// One line per request on standard error.
    Stderr,
    /// Nothing.
    Off,
}

/// `router` with the access log around it.
pub(super) fn logged(router: Router, log: AccessLog) -> Router {
    match log {
        AccessLog::Off => router,
        AccessLog::Stderr => router.layer(middleware::from_fn_with_state(MultiProgress::new(), record)),
    }
}

async fn record(
    State(bars): State<MultiProgress>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let begin = Instant::now();
    let method = request.method().clone();
    // As it came: percent-encoded, so no control character reaches the terminal.
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let announced = announced(&method, &response);
    let bar = (announced >= BAR_FROM).then(|| bars.add(progress::bytes(file_name(&path), announced)));
    let status = response.status().as_u16();
    let entry = Entry { begin, peer, method, path, status, announced, sent: 0, bar, bars };
    response.map(|body| Body::new(Counted { body, entry }))
}

/// How many bytes of body the client is to receive; none for HEAD, whose length is only an announcement.
fn announced(method: &Method, response: &Response) -> u64 {
    if method == Method::HEAD {
        return 0;
    }
    let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.or(response.body().size_hint().exact()).unwrap_or(0)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// One request on its way; dropped, and thereby written, with its body.
struct Entry {
    begin: Instant,
    peer: SocketAddr,
    method: Method,
    path: String,
    status: u16,
    announced: u64,
    sent: u64,
    bar: Option<ProgressBar>,
    bars: MultiProgress,
}

impl Entry {
    fn line(&self, now: Timestamp) -> String {
        let Self { peer, method, path, status, sent, .. } = self;
        let cut = if self.sent < self.announced { " cut" } else { "" };
        let milliseconds = self.begin.elapsed().as_millis();
        format!("{now} {peer} {method} {path} {status} {sent}{cut} {milliseconds}ms")
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.bars.remove(bar);
        }
        let line = self.line(clock::now());
        self.bars.suspend(|| eprintln!("{line}"));
    }
}

/// A response body that counts what is taken from it.
struct Counted {
    body: Body,
    entry: Entry,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.entry.sent += length;
            if let Some(bar) = &self.entry.bar {
                bar.inc(length);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
