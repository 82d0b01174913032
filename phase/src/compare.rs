//! `phase compare`: Phase Boot beside a boot chain put together by hand from ready parts, in turns on the same bench.
//!
//! Both chains get the same kernel, root, server, QEMU line and link, which nothing slows down. They run interleaved, so
//! that whatever else the host does falls on both, and each ratio is of two boots that ran one after the other. What is
//! missed is said, and is exit status 1.

mod bench;
mod figures;
mod handmade;
mod milestones;

use std::{path::PathBuf, process::ExitCode};

use crate::lab;
use bench::{Bench, Chain};
use figures::{Figure, Memory, Report};

/// The smallest memory that is tried, in MiB: less than the root and two kernels need.
const LEAST_MIB: u32 = 128;
/// Memory is looked for in steps of so many MiB.
const STEP_MIB: u32 = 32;

/// Runs the hand-made baseline beside Phase Boot and prints the ratios; exit status 1 if a figure is missed.
#[derive(clap::Args)]
#[command(after_help = "\
The bench: Debian's cloud kernel for both stages, a root of 60 MB whose init prints a line, QEMU without KVM, HTTP \
from this host. The baseline is a busybox script with udhcpc, wget, signify, sha256sum and kexec-tools; its release \
has the same kernel and root, and an initramfs that does the same with busybox.

The ratios depend on how much of the host is free: other work takes the second core, on which Phase Boot hashes \
while it downloads. The load is printed with them.

Examples:
  phase compare
  phase compare --runs 5 --json")]
pub struct Args {
    /// How often each chain boots, for each number of CPUs
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub runs: u32,
    /// CPUs of the guest for the way to `kexec_file_load`
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub cpus: u32,
    /// The program that packs the baseline's initramfs: `KERNEL_ROOT PUBKEY OUT`
    #[arg(long, value_name = "FILE", default_value = "../shared/baseline/make-initramfs")]
    pub baseline: PathBuf,
    /// The static program `init`
    #[arg(long, value_name = "FILE", default_value = "target/x86_64-unknown-linux-musl/release/init")]
    pub init: PathBuf,
    /// A kernel root to use in place of Debian's cloud kernel; see `phase lab kernel`
    #[arg(long, value_name = "DIR", env = "KERNEL_ROOT")]
    pub kernel_root: Option<PathBuf>,
    /// Where everything is made
    #[arg(long, value_name = "DIR", default_value_os_t = lab::build_directory())]
    pub dir: PathBuf,
    /// Leave out the search for the smallest memory
    #[arg(long)]
    pub skip_memory: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let bench = Bench::prepare(args)?;
    let load = load_average();
    let (mut to_load, mut to_release) = (Figure::to_load(args.cpus), Figure::to_release());
    for number in 1..=args.runs {
        for (cpus, figure) in [(args.cpus, &mut to_load), (1, &mut to_release)] {
            let boots = Chain::BOTH.map(|chain| {
                step(&format!("run {number} of {}: {} with {cpus} vCPU", args.runs, chain.name()));
                bench.boot(chain, cpus)
            });
            let [ours, baseline] = boots;
            figure.add(ours?, baseline?)?;
        }
    }
    let memory = if args.skip_memory { None } else { Some(smallest_memory(&bench)?) };
    let report = Report { load, ratios: [to_load, to_release], memory };
    if args.json {
        println!("{}", report.to_json());
    } else {
        println!("{report}");
    }
    Ok(if report.missed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn step(what: &str) {
    eprintln!("phase compare: {what}");
}

/// What else the host did when this began: /proc/loadavg (proc(5)).
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn smallest_memory(bench: &Bench) -> anyhow::Result<Memory> {
    let [ours, baseline] = Chain::BOTH.map(|chain| {
        smallest(|mib| {
            let boots = bench.boots_with(chain, mib)?;
            step(&format!("{} with {mib} MiB: {}", chain.name(), if boots { "boots" } else { "does not boot" }));
            Ok(boots)
        })
    });
    Ok(Memory { ours: ours?, baseline: baseline? })
}

/// The smallest memory in MiB with which `boots` answers yes. That what the timed runs have is enough they have shown.
fn smallest(boots: impl Fn(u32) -> anyhow::Result<bool>) -> anyhow::Result<u32> {
    let (mut too_little, mut enough) = (LEAST_MIB, bench::MEMORY_MIB);
    while enough - too_little > STEP_MIB {
        let middle = too_little + (enough - too_little) / 2 / STEP_MIB * STEP_MIB;
        if boots(middle)? {
            enough = middle;
        } else {
            too_little = middle;
        }
    }
    Ok(enough)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_ends_at_the_smallest_step() {
        for wanted in (160..=bench::MEMORY_MIB).step_by(32) {
            assert_eq!(smallest(|mib| Ok(mib >= wanted)).unwrap(), wanted);
        }
        assert!(smallest(|_| anyhow::bail!("no QEMU")).is_err());
    }
}
