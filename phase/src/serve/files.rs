//! What is answered to a request. Which file a path names, ranges, conditions, types: all of that decides tower-http's
//! `ServeDir`. Only the bytes do not pass through it: the open file comes out beside the answer's head, for the kernel
//! to send ([`super::connection`]).

use std::{
    fs::{self, File, Metadata, OpenOptions},
    future::{Ready, ready},
    io::{self, ErrorKind, SeekFrom},
    ops::Range,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{
    HeaderMap, Request, StatusCode,
    header::{CONTENT_LENGTH, IF_RANGE, RANGE},
};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::{
    ServeDir,
    fs::{Backend, File as ServedFile},
};

/// An answer without its bytes.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The file that has them, and which of them; none for HEAD and for refusals.
    pub(super) body: Option<(File, Range<u64>)>,
}

impl Answer {
    /// An answer that is a status alone.
    pub(super) fn of(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: None }
    }
}

/// Looks at the tree for what a request asks for.
pub(super) async fn answer(tree: &Path, mut request: Request<()>) -> Answer {
    if request.headers().contains_key(IF_RANGE) {
        // `ServeDir` does not compare it, and a part of another file must not be taken for the rest of this one. The
        // whole file is always right (RFC 9110, section 14.2).
        request.headers_mut().remove(RANGE);
    }
    let disk = Disk::default();
    let mut files = ServeDir::with_backend(tree, disk.clone()).append_index_html_on_directories(false);
    match files.try_call(request).await {
        Ok(response) => {
            let (head, _) = response.into_parts();
            let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
            let body = match (disk.take(), length) {
                (Some(Opened { file, start }), Some(length)) if head.status.is_success() => {
                    Some((file, start..start + length))
                }
                _ => None,
            };
            Answer { status: head.status, headers: head.headers, body }
        }
        Err(error) => Answer::of(match error.kind() {
            ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidFilename => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }),
    }
}

/// Opens files for `ServeDir`, and keeps hold of the last one and of the place in it.
///
/// It does not hand the calls to other threads, as tokio's own would: with a file whose metadata is in memory that costs
/// several times the call itself.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Option<Opened>>>);

struct Opened {
    file: File,
    start: u64,
}

impl Disk {
    fn take(&self) -> Option<Opened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Backend for Disk {
    type File = Handle;
    type Metadata = Metadata;
    type OpenFuture = Ready<io::Result<Handle>>;
    type MetadataFuture = Ready<io::Result<Metadata>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        ready(open(&path).map(|(file, metadata)| {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Opened { file, start: 0 });
            Handle { disk: self.clone(), metadata }
        }))
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        ready(fs::metadata(path).and_then(|metadata| {
            if metadata.is_file() || metadata.is_dir() { Ok(metadata) } else { Err(ErrorKind::NotFound.into()) }
        }))
    }
}

/// Opens a file and nothing else: a FIFO in the tree would hold whoever opens it, so it is opened without waiting.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(ErrorKind::NotFound.into()) }
}

/// What `ServeDir` holds of an open file: it may go to a place in it, and nobody reads through it.
struct Handle {
    disk: Disk,
    metadata: Metadata,
}

impl ServedFile for Handle {
    type Metadata = Metadata;
    type MetadataFuture<'a> = Ready<io::Result<Metadata>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.metadata.clone()))
    }
}

impl AsyncSeek for Handle {
    fn start_seek(self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        match (position, &mut *self.disk.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            (SeekFrom::Start(start), Some(opened)) => opened.start = start,
            _ => return Err(ErrorKind::Unsupported.into()),
        }
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let opened = self.disk.0.lock().unwrap_or_else(PoisonError::into_inner);
        Poll::Ready(Ok(opened.as_ref().map_or(0, |opened| opened.start)))
    }
}

impl AsyncRead for Handle {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(ErrorKind::Unsupported.into()))
    }
}
