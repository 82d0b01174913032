//! `make test-scale`: 200 machines at once fetch a release from one `phase serve`, and from nginx with the same tree.
//!
//! Every client is the fetcher that PID 1 runs ([`discover::Origin`]), one thread each in this process, all let go at the
//! same moment. There are two loads: *release*, the envelope and then every blob, and *documents*, the envelope and the next
//! trust file again and again. The servers take turns, nginx first in one round and last in the next; medians count. Both
//! write their access log. In the first round, which warms up the page cache and does not count, every byte is hashed.
//!
//! Clients and server share this machine, so that what the clients cost hides a part of what a server costs. The processor
//! time of each server is printed beside the throughput, as is that of the clients: together they are what is used up.
//!
//! Exit status 1 unless `phase serve` reaches [`WANTED`] of nginx under both loads, within [`MEMORY`], without one error.

mod clients;
mod servers;
mod tree;

use std::process::ExitCode;

use clients::{Load, Outcome};
use servers::{Nginx, Phase, Server};
use tree::Tree;

/// Machines that ask at once.
const CLIENTS: usize = 200;
/// Rounds that count.
const ROUNDS: usize = 15;
/// The least throughput of `phase serve`, of nginx's.
const WANTED: f64 = 0.8;
/// The most memory that `phase serve` may have had, in bytes.
const MEMORY: u64 = 32 << 20;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<ExitCode, Error> {
    let home = tempfile::tempdir()?;
    let tree = Tree::publish(home.path())?;
    let (nginx, phase) = (Nginx::start(home.path())?, Phase::start(home.path())?);
    println!("{CLIENTS} clients, a release of {} MB, {} cores", tree.bytes() / 1_000_000, cores());

    let (mut reached, mut asked) = (true, 0);
    for load in [Load::Release, Load::Documents] {
        println!("\n{load}\n{:>5} {}", "round", Outcome::HEADING);
        let (mut of_nginx, mut of_phase) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let turns: [(&dyn Server, &mut Vec<Outcome>); 2] = [(&nginx, &mut of_nginx), (&phase, &mut of_phase)];
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            let mut turns = turns.map(Some);
            for (server, outcomes) in order.into_iter().filter_map(|turn| turns[turn].take()) {
                let outcome = clients::run(load, &tree, server, round == 0)?;
                let name = if round == 0 { "warm".to_owned() } else { round.to_string() };
                println!("{name:>5} {outcome}");
                asked += outcome.requests_to(&phase);
                if round > 0 {
                    outcomes.push(outcome);
                }
            }
        }
        reached &= verdict(&of_nginx, &of_phase);
    }
    // Whatever else runs takes its share of one round and not of the next.
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!("\nload average of this host: {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    asked += servers::commands(&tree, &phase)?;
    reached &= phase.ends_well(MEMORY, asked)?;
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compares medians; says whether the figure is reached.
fn verdict(nginx: &[Outcome], phase: &[Outcome]) -> bool {
    let ratio = clients::median(phase, Outcome::throughput) / clients::median(nginx, Outcome::throughput);
    let cost = clients::median(phase, Outcome::cost) / clients::median(nginx, Outcome::cost);
    let reached = ratio >= WANTED;
    let verdict = if reached { "reached" } else { "MISSED" };
    println!("throughput: {ratio:.2} of nginx's, wanted >= {WANTED:.2}: {verdict} (medians of {ROUNDS} rounds)");
    println!("processor time of the server: {cost:.2} of nginx's");
    reached
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
