//! `phase announce`: the list of places of a published release goes into the BitTorrent DHT, signed by the locator key.
//!
//! The locator key is a key of its own: it names places and proves nothing, so that it may lie on a server that stores the
//! list again every hour, where no release key belongs.

use std::{
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use discover::{Origin, dht::Item};
use serde::Serialize;
use verify::{Arch, Channel};

use crate::{cli::UsageError, key::PrivateKey, tree};

/// How long one store may take.
const STORING: Duration = Duration::from_mins(1);

/// Stores where a published release can be had in the BitTorrent DHT.
#[derive(clap::Args)]
#[command(after_help = "\
The version is that of the tree's release. Nodes forget an item after about two hours: --again-every stores it again, \
with the version that the tree has by then, until Ctrl-C.

Examples:
  phase keygen --out keys/locator
  phase announce --tree tree --channel demo --locator keys/locator \\
      --url http://203.0.113.9:8000 --bootstrap dht.example.org:6881
  phase announce --tree tree --channel demo --locator keys/locator \\
      --url http://203.0.113.9:8000 --bootstrap dht.example.org:6881 --again-every 60")]
pub struct Args {
    /// The tree that `phase publish` wrote
    #[arg(long, value_name = "DIR")]
    pub tree: PathBuf,
    /// The line of releases
    #[arg(long)]
    pub channel: Channel,
    /// The machines that it runs on
    #[arg(long, default_value_t = Arch::COMPILED)]
    pub arch: Arch,
    /// The private key that signs the list, and nothing else
    #[arg(long, value_name = "KEY", required = true)]
    pub locator: PathBuf,
    /// A base URL that serves the tree; may be repeated
    #[arg(long, value_name = "URL", required = true)]
    pub url: Vec<String>,
    /// A node of the DHT to begin with; may be repeated
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub bootstrap: Vec<String>,
    /// Store it again after so many minutes, and so on
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=110))]
    pub again_every: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The same for `phase publish --dht`, which knows the rest.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Dht {
    /// Then store in the BitTorrent DHT where the release can be had, as `phase announce` does
    #[arg(long, requires_all = ["locator", "url", "bootstrap"], conflicts_with = "unsigned")]
    pub dht: bool,
    /// With --dht: the private key that signs the list of places, and nothing else
    #[arg(long, value_name = "KEY", requires = "dht")]
    pub locator: Option<PathBuf>,
    /// With --dht: a base URL that serves the tree; may be repeated
    #[arg(long, value_name = "URL", requires = "dht")]
    pub url: Vec<String>,
    /// With --dht: a node of the DHT to begin with; may be repeated
    #[arg(long, value_name = "HOST:PORT", requires = "dht")]
    pub bootstrap: Vec<String>,
}

/// What was stored; `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What machines are told to look for: the raw public key in hex.
    pub locator: String,
    /// What the key signed the list for.
    pub salt: String,
    /// The version of the release.
    pub version: u64,
    /// The places.
    pub urls: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let announcer = Announcer::new(&args.locator, &args.url, &args.bootstrap)?;
    loop {
        let published = tree::published(&args.tree, &args.channel, args.arch)?;
        let manifest = published.with_context(|| {
            format!("the tree has no release of {} {}; `phase publish` makes one", args.channel, args.arch)
        })?;
        let stored = announcer.announce(&args.channel, args.arch, manifest.version);
        match (&stored, args.again_every) {
            (Ok(report), _) if args.json => println!("{}", serde_json::to_string(report)?),
            (Ok(report), _) => print(report),
            (Err(error), Some(_)) => eprintln!("phase: not stored this time: {error:#}"),
            (Err(_), None) => {}
        }
        let Some(minutes) = args.again_every else { return stored.map(|_| ExitCode::SUCCESS) };
        thread::sleep(Duration::from_secs(minutes * 60));
    }
}

/// What a locator key says: read and checked before anything is published.
pub struct Announcer {
    key: PrivateKey,
    urls: Vec<String>,
    bootstrap: Vec<String>,
}

impl Announcer {
    /// Reads the key and checks the places.
    ///
    /// # Errors
    /// A [`UsageError`] for a place that no machine would ask, or for a list that no node would store.
    pub fn new(locator: &std::path::Path, urls: &[String], bootstrap: &[String]) -> anyhow::Result<Self> {
        for url in urls {
            Origin::parse(url).map_err(|error| UsageError(error.to_string()))?;
        }
        discover::dht::value(urls).map_err(|error| UsageError(format!("the list of places is not stored: {error}")))?;
        Ok(Self { key: PrivateKey::read(locator)?, urls: urls.to_vec(), bootstrap: bootstrap.to_vec() })
    }

    /// Of the options of `phase publish`, if they ask for it.
    ///
    /// # Errors
    /// As those of [`Self::new`].
    pub fn of(dht: &Dht) -> anyhow::Result<Option<Self>> {
        let locator = dht.locator.as_ref().filter(|_| dht.dht);
        locator.map(|locator| Self::new(locator, &dht.url, &dht.bootstrap)).transpose()
    }

    /// Signs the list for a version and stores it.
    ///
    /// # Errors
    /// No node took it.
    pub fn announce(&self, channel: &Channel, arch: Arch, version: u64) -> anyhow::Result<Report> {
        let public = self.key.public();
        let places = (channel.as_str(), arch.as_str());
        let item = Item::sign(public.raw(), places, (version, &self.urls), &|message| self.key.sign(message))?;
        item.store(&self.bootstrap, Instant::now() + STORING)?;
        let salt = discover::dht::salt(places.0, places.1);
        Ok(Report { locator: public.hex(), salt, version, urls: self.urls.clone() })
    }
}

/// Says where machines look.
pub fn print(report: &Report) {
    println!("in the DHT   {} list {}", report.salt, report.version);
    println!("locator      {}", report.locator);
    for url in &report.urls {
        println!("             {url}");
    }
}
