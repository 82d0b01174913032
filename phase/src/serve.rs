//! `phase serve`: a published tree over plain HTTP, with ranges, HEAD and If-Modified-Since, and an access log.
//!
//! It only reads. A request path is percent-decoded and joined component by component; `..`, absolute components and
//! NUL are refused (404) by tower-http's `ServeDir`, so nothing outside the tree is named. Symbolic links *inside* the
//! tree are followed: they are the owner's own doing. Nothing served is trusted by whoever fetches it.
//!
//! [`spawn`] is the same server for other commands, on a thread of its own.

mod access;
mod advertise;

use std::{
    future::Future,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tower_http::services::ServeDir;

use verify::Channel;

pub use access::AccessLog;

use advertise::Advertisement;

/// How long transfers that still run may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(3);

/// How much of a file is read at once: large, since releases are; the default is 64 KiB.
const READ_SIZE: usize = 256 << 10;

/// Serves a published tree over HTTP until Ctrl-C.
#[derive(clap::Args)]
#[command(after_help = "\
The base URL goes to standard output, one line per request to standard error:
  time peer method path status bytes milliseconds
\"cut\" after the bytes means that the client went away before the end.

Examples:
  phase serve --tree tree
  phase serve --tree tree --listen 0.0.0.0:8000 --quiet
  phase serve --tree tree --listen 127.0.0.1:0       # any free port, printed
  phase serve --tree tree --listen '[::]:8000' --advertise --channel demo

--advertise tells machines in local mode, and `phase-discover --mdns`, that the tree is here: DNS-SD, \
_phase-boot._tcp. It goes with the server: Ctrl-C or SIGTERM says goodbye.")]
pub struct Args {
    /// The tree that `phase publish` wrote
    #[arg(long, value_name = "DIR")]
    pub tree: PathBuf,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// Say on every link that the tree is here
    #[arg(long, requires = "channel")]
    pub advertise: bool,
    /// The line of releases that is advertised
    #[arg(long, requires = "advertise")]
    pub channel: Option<Channel>,
    /// No access log
    #[arg(long)]
    pub quiet: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let log = if args.quiet { AccessLog::Off } else { AccessLog::Stderr };
    let (listener, url) = bind(&args.tree, args.listen)?;
    let channel = args.channel.as_ref().filter(|_| args.advertise);
    let address = listener.local_addr()?;
    let advertisement = channel.map(|channel| Advertisement::begin(&args.tree, channel, address)).transpose()?;
    println!("serving {} at {url}", args.tree.display());
    runtime()?.block_on(serve(listener, &args.tree, log, told_to_stop(advertisement)))?;
    eprintln!("phase: stopped");
    Ok(ExitCode::SUCCESS)
}

/// Waits for Ctrl-C or SIGTERM, keeps what is advertised as the tree is, and says goodbye.
async fn told_to_stop(mut advertisement: Option<Advertisement>) {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => terminated.recv().await,
            // Without a handler for it the signal ends the process at once.
            Err(_) => std::future::pending().await,
        }
    };
    let kept = async {
        match &mut advertisement {
            Some(advertisement) => advertisement.keep().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // Without a handler for it Ctrl-C ends the process at once, which is no worse than stopping.
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
        () = kept => {}
    }
    if let Some(advertisement) = advertisement {
        advertisement.end();
    }
}

/// A server on its own thread; it stops when told to, or when dropped.
#[derive(Debug)]
pub struct Server {
    url: String,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Server {
    /// `http://ADDRESS:PORT`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address that it listens on, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: no new connection, a few seconds for transfers that run, then the end.
    ///
    /// # Errors
    /// What ended the server before, if something did.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        if let Some(stop) = self.stop.take() {
            // A server that is already gone does not hear this; joining it below says why it went.
            let _ = stop.send(());
        }
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => anyhow::bail!("the server's thread panicked"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            eprintln!("phase: the server ended with an error: {error:#}");
        }
    }
}

/// Serves `tree` on a thread of its own; `listen` with port 0 takes a free port. It listens when this returns.
///
/// # Errors
/// The tree is no directory, or the address cannot be had.
pub fn spawn(tree: &Path, listen: SocketAddr, log: AccessLog) -> anyhow::Result<Server> {
    let (listener, url) = bind(tree, listen)?;
    let address = listener.local_addr()?;
    let runtime = runtime()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let tree = tree.to_owned();
    let thread = thread::Builder::new().name("phase-serve".into()).spawn(move || {
        runtime.block_on(serve(listener, &tree, log, async {
            // Told to stop, or the handle is gone: both mean stop.
            let _ = stopped.await;
        }))
    })?;
    Ok(Server { url, address, stop: Some(stop), thread: Some(thread) })
}

fn bind(tree: &Path, listen: SocketAddr) -> anyhow::Result<(TcpListener, String)> {
    anyhow::ensure!(tree.is_dir(), "{} is not a directory; `phase publish` makes a tree", tree.display());
    let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url))
}

fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the server's threads")
}

async fn serve(
    listener: TcpListener,
    tree: &Path,
    log: AccessLog,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let files = ServeDir::new(tree).append_index_html_on_directories(false).with_buf_chunk_size(READ_SIZE);
    let app = access::logged(Router::new().fallback_service(files), log);
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    let server = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            stop.await;
            let _ = stopping.send(true); // nobody listens any more: the server has ended by itself
        })
        .into_future();
    let grace = async move {
        let _ = stopped.wait_for(|stopping| *stopping).await; // an error means the sender is gone: stopped as well
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = server => result.context("the server failed"),
        () = grace => Ok(()),
    }
}
