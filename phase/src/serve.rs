//! `phase serve`: a published tree over plain HTTP, with ranges, HEAD and If-Modified-Since, and an access log.
//!
//! It only reads. A request path is percent-decoded and joined component by component; `..`, absolute components and
//! NUL are refused (404) by tower-http's `ServeDir`, so nothing outside the tree is named. Symbolic links *inside* the
//! tree are followed: they are the owner's own doing. Nothing served is trusted by whoever fetches it.
//!
//! [`spawn`] is the same server for other commands.

mod access;
mod advertise;
mod connection;
mod files;
mod listen;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use verify::Channel;

pub use access::AccessLog;

use access::Log;
use advertise::Advertisement;
use listen::Workers;

/// What every connection needs to know.
struct Site {
    tree: PathBuf,
    log: Log,
}

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
    listen::more_files();
    let server = spawn(&args.tree, args.listen, log)?;
    let channel = args.channel.as_ref().filter(|_| args.advertise);
    let advertisement =
        channel.map(|channel| Advertisement::begin(&args.tree, channel, server.address())).transpose()?;
    println!("serving {} at {}", args.tree.display(), server.url());
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(told_to_stop(advertisement));
    server.stop()?;
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

/// A server on threads of its own; it stops when told to, or when dropped.
#[derive(Debug)]
pub struct Server {
    url: String,
    address: SocketAddr,
    workers: Workers,
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
        self.workers.stop()
    }
}

/// Serves `tree` at `address` on threads of its own; port 0 takes a free port. It listens when this returns.
///
/// # Errors
/// The tree is no directory, or the address cannot be had.
pub fn spawn(tree: &Path, address: SocketAddr, log: AccessLog) -> anyhow::Result<Server> {
    anyhow::ensure!(tree.is_dir(), "{} is not a directory; `phase publish` makes a tree", tree.display());
    let listener = listen::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    let site = Arc::new(Site { tree: tree.to_owned(), log: Log::new(log) });
    let workers = Workers::start(&listener, &site).context("cannot start the server's threads")?;
    Ok(Server { url: format!("http://{address}"), address, workers })
}
