//! `phase size`: how large the boot initramfs is before modules come in, with every way of finding a release, against the
//! promise of 1200 KiB; and what each of the ways costs.

use std::{cmp::Reverse, path::PathBuf, process::ExitCode};

use anyhow::Context;
use initramfs::pack::{BootInitramfs, image::Stage};
use object::{Object, ObjectSection};
use serde::Serialize;
use verify::{Channel, Policy, PublicKey, Reaction, Role, Roles, Timestamp, Trust};

use crate::{image::config::Config, output};

/// Largest program that is looked at, in bytes.
const PROGRAM_LIMIT: u64 = 256 << 20;

/// Sections below this many bytes are left out of the table.
const SECTION_FROM: u64 = 1024;

/// The public key of RFC 8032, section 7.1, test 1: any valid key has this size.
const SAMPLE_KEY: &[u8; 32] = b"\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a\
    \x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a";

/// Measures the boot initramfs without modules; exit status 1 if it is over the limit.
#[derive(clap::Args)]
#[command(after_help = "\
The initramfs has init, a trust file with one key for each role and a configuration with one origin, packed as \
`phase image initramfs` packs it: zstd, level 19.

Examples:
  phase size --init target/x86_64-unknown-linux-musl/release/init
  phase size --without tls=build/init-without-tls --without dht=build/init-without-dht")]
pub struct Args {
    /// The static program that becomes /init
    #[arg(long, value_name = "FILE", default_value = "target/x86_64-unknown-linux-musl/release/init")]
    pub init: PathBuf,
    /// Most KiB (1024 bytes) that are accepted
    #[arg(long, value_name = "KIB", default_value_t = 1200)]
    pub limit: u64,
    /// The same program built without a cargo feature, to print what that costs; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    pub without: Vec<(String, PathBuf)>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints; everything in bytes.
#[derive(Debug, Serialize)]
struct Report {
    initramfs: u64,
    limit: u64,
    init: u64,
    sections: Vec<Section>,
    /// The initramfs without each feature.
    without: Vec<Section>,
}

#[derive(Debug, Serialize)]
struct Section {
    name: String,
    size: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let program = output::read_limited(&args.init, PROGRAM_LIMIT)?;
    let without =
        |(name, init): &(String, PathBuf)| Ok(Section { name: name.clone(), size: sample_initramfs(init.clone())? });
    let report = Report {
        without: args.without.iter().map(without).collect::<anyhow::Result<_>>()?,
        initramfs: sample_initramfs(args.init.clone())?,
        limit: args.limit * 1024,
        init: program.len() as u64,
        sections: sections(&program).with_context(|| args.init.display().to_string())?,
    };
    output::show(&report, args.json, print)?;
    if report.initramfs > report.limit {
        anyhow::bail!("the boot initramfs has {} bytes, at most {} are allowed", report.initramfs, report.limit);
    }
    Ok(ExitCode::SUCCESS)
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("wanted NAME=FILE")?;
    Ok((name.to_owned(), PathBuf::from(file)))
}

/// The size in bytes of a boot initramfs around `init`.
fn sample_initramfs(init: PathBuf) -> anyhow::Result<u64> {
    let role = || Role::new(1, vec![PublicKey::new(SAMPLE_KEY, "sample")?]);
    let trust = Trust {
        channel: "sample".parse::<Channel>()?,
        epoch: 1,
        built: Timestamp::from_unix(0),
        minimum_version: 0,
        floor_epoch: 0,
        roles: Roles { root: role()?, release: role()? },
        policy: Policy {
            expiry: Reaction::Refuse,
            rescue_prompt: false,
            max_validity_days: 400,
            state: Reaction::Warn,
            transparency: None,
        },
    };
    let config = Config { origins: vec!["http://192.0.2.10:8000".to_owned()], ..Config::default() };
    let plan = BootInitramfs {
        init,
        stage: Stage::Boot { trust: trust.to_json()?.into_bytes(), config: Some(config.to_json()?), tls_roots: None },
        kernel_root: None,
        modules: Vec::new(),
        keep_compressed: false,
        extra: Vec::new(),
        mtime: 0,
    };
    Ok(plan.build()?.bytes.len() as u64)
}

/// The sections that take space in the file, largest first.
fn sections(program: &[u8]) -> anyhow::Result<Vec<Section>> {
    let file = object::File::parse(program).context("not an ELF program")?;
    let mut sections = Vec::new();
    for section in file.sections() {
        let size = section.file_range().map_or(0, |(_, size)| size);
        sections.push(Section { name: section.name().context("a section without a name")?.to_owned(), size });
    }
    sections.sort_by_key(|section| Reverse(section.size));
    Ok(sections)
}

fn print(report: &Report) {
    let Report { initramfs, limit, init, sections, without } = report;
    println!("boot initramfs  {:>9} bytes ({:.1} KiB, limit {} KiB)", initramfs, kib(*initramfs), limit / 1024);
    println!("init            {init:>9} bytes");
    for Section { name, size } in sections.iter().filter(|section| section.size >= SECTION_FROM) {
        println!("  {name:13} {size:>9}");
    }
    for Section { name, size } in without {
        let cost = initramfs.saturating_sub(*size);
        println!("without {name:7} {size:>9} bytes of initramfs ({:.1} KiB less)", kib(cost));
    }
}

/// For people: exact below 2^53 bytes.
#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
