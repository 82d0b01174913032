//! Two or three machines.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use discover::Origin;
use init::console::{Console, Verbosity};
use init::download::{self, Carrier};
use init::pool::Pool;
use init::share::answer::Catalogue;
use init::share::server::Server;
use init::share::shelf::Shelf;
use init::source::Source;
use verify::{Artifact, Chunks, Pieces, Sha256Digest};

use crate::host::{self, Unheard};
use crate::lan::{Lan, ORIGIN, PIECE, content, inside, publish};
use crate::namespaces::run;
use crate::{fake, release};

/// Whatever happens, so long it may take.
const LONGEST: Duration = Duration::from_mins(5);
/// A rate, in Mbit/s, at which the origin needs minutes for a release: what is waited for comes before a machine has everything.
const SLOW: u32 = 2;
/// One at which it needs seconds.
const FAST: u32 = 40;

#[test]
fn a_machine_gets_everything_from_its_neighbour_while_the_origin_is_cut_off() {
    const TEST: &str = "few::a_machine_gets_everything_from_its_neighbour_while_the_origin_is_cut_off";
    if host::is_one() || !inside(TEST) {
        return;
    }
    let mut lan = Lan::new(SLOW);
    publish(&lan.tree(), 10);
    lan.serve();
    let mut first = lan.machine(TEST, &[ORIGIN], true);
    first.wait_for("sharing with this link", LONGEST);
    // The second one knows of no origin: Local mode. It begins before the first one has everything, and ends when there is no
    // origin any more.
    let mut second = lan.machine(TEST, &[], false);
    second.wait_for("release 7 from http://10.77.0.2:", LONGEST);
    lan.rate(FAST);
    first.wait_for("has everything", LONGEST);
    lan.cut_off();
    second.wait_for("jumps", LONGEST);
    // By its addresses it may be two: IPv6 is heard of first on some links.
    first.wait_for(" MiB shared with ", LONGEST);
    first.wait_for("jumps", LONGEST);
}

#[test]
fn a_neighbour_that_lies_is_named_and_costs_nobody_the_release() {
    const TEST: &str = "few::a_neighbour_that_lies_is_named_and_costs_nobody_the_release";
    if host::is_one() || !inside(TEST) {
        return;
    }
    let mut lan = Lan::new(SLOW);
    publish(&lan.tree(), 10);
    lan.serve();
    let mut liar = lan.liar(TEST);
    liar.wait_for("lies", LONGEST);
    let mut first = lan.machine(TEST, &[ORIGIN], true);
    first.wait_for("sharing with this link", LONGEST);
    let mut second = lan.machine(TEST, &[ORIGIN], false);
    // Each asks for the piece that it wants next, of whoever says that it has it.
    let names = |says: &str| says.lines().any(|line| line.contains("http://10.77.0.2:") && line.contains("SHA-256"));
    for machine in [&mut first, &mut second] {
        machine.wait_until("the name of the liar", LONGEST, names);
    }
    lan.rate(FAST);
    second.wait_for("jumps", LONGEST);
    first.wait_for("jumps", LONGEST);
    let first = first.says();
    assert!(first.contains(" MiB shared with "), "{first}");
}

#[test]
fn nobody_behind_a_router_gets_anything() {
    const TEST: &str = "few::nobody_behind_a_router_gets_anything";
    if host::is_one() || !inside(TEST) {
        return;
    }
    // So it serves for as long as this takes.
    let mut lan = Lan::new(SLOW);
    publish(&lan.tree(), 10);
    lan.serve();
    // 10.78.0.2 is behind the router; the machine has a route to there, and the router one to the machine.
    let router = lan.router();
    let far = router.behind("10.78.0");
    let mut machine = lan.machine(TEST, &[ORIGIN], true);
    machine.wait_for("sharing with this link on port ", LONGEST);
    machine.place.run("ip route add 10.78.0.0/24 via 10.77.0.2");
    let says = machine.says();
    let port = says.split("on port ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let url = format!("http://10.77.0.3:{port}/demo/x86_64/manifest.dsse.json");
    let get = |mut curl: Command, most: &str| curl.args(["--silent", "--max-time", most, &url]).output().unwrap();
    // The way there is: the far machine reaches the origin, which has a route back.
    lan.origin.run("ip route add 10.78.0.0/24 via 10.77.0.2");
    run(far
        .command("curl")
        .args(["--silent", "--fail", "--max-time", "60", "-o", "/dev/null"])
        .arg(format!("{ORIGIN}/demo/x86_64/manifest.dsse.json")));
    let envelope = fs::read(lan.tree().join("demo/x86_64/manifest.dsse.json")).unwrap();
    assert!(get(router.command("curl"), "60").stdout == envelope, "who is on the link gets it");
    let nothing = get(far.command("curl"), "3");
    assert_eq!((nothing.stdout.len(), nothing.status.code()), (0, Some(28)), "not even a connection: {nothing:?}");
    assert!(get(router.command("curl"), "60").stdout == envelope, "and it still serves");
}

/// While one source lies about a piece and another one has it right, a neighbour asks for everything all the time.
#[test]
fn no_byte_of_a_source_that_lies_is_passed_on() {
    let bytes = content(7, 8);
    let digests = bytes.chunks(PIECE).map(Sha256Digest::of).collect();
    let (size, sha256) = (bytes.len() as u64, Sha256Digest::of(&bytes));
    let pieces = Some(Pieces::new(size, PIECE as u64, Chunks::Inline(digests)).unwrap());
    let artifact = Artifact { name: "root".to_owned(), size, sha256, pieces };
    let mut wrong = bytes.clone();
    wrong.chunks_mut(PIECE).for_each(|piece| piece[1000] ^= 1);
    let place = |blob: Vec<u8>, pause: u64| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        fake::serve(listener, vec![(sha256.to_string(), blob)], Duration::from_millis(pause));
        Source::from(Origin::parse(&url).unwrap())
    };
    let pool = Pool::new([place(wrong, 0), place(bytes.clone(), 300)].map(Arc::new));
    let shelf = Arc::new(Shelf::open());
    let (channel, arch, envelope) = ("demo".to_owned(), "x86_64".to_owned(), Vec::new());
    let server = Server::begin(Catalogue { channel, arch, envelope, proof: None, shelf: Arc::clone(&shelf) }).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let (port, told, expected) = (server.port(), Arc::clone(&over), bytes.clone());
    let (asked, asks) = mpsc::channel();
    let neighbour = thread::spawn(move || {
        let (mut given, mut refused) = (0, 0);
        loop {
            let is_last = told.load(Ordering::Relaxed);
            for (index, piece) in expected.chunks(PIECE).enumerate() {
                match part(port, &sha256.to_string(), index * PIECE, piece.len()) {
                    Some(bytes) => {
                        assert!(bytes == piece, "piece {index} is wrong");
                        given += 1;
                    }
                    None => refused += 1,
                }
            }
            _ = asked.send(());
            if is_last {
                return (given, refused);
            }
        }
    });
    asks.recv().unwrap();
    let console = Console::attach(Path::new("/nowhere"), "", Verbosity::Quiet);
    let carrier = Carrier { sources: &pool, shelf: &shelf, console: &console, pulse: &Unheard };
    let file = download::sealed(&release::signed(&artifact), &carrier).unwrap();
    assert_eq!((file.size(), pool.liars().len()), (size, 1));
    over.store(true, Ordering::Relaxed);
    let (given, refused) = neighbour.join().unwrap();
    // In the last round and in the first one, all of them.
    assert!(given >= 8 && refused >= 8, "{given} given, {refused} refused");
}

/// A part of a blob, if it is given.
fn part(port: u16, hex: &str, first: usize, length: usize) -> Option<Vec<u8>> {
    let mut peer = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let last = first + length - 1;
    write!(peer, "GET /blobs/sha256/{hex} HTTP/1.1\r\nHost: h\r\nRange: bytes={first}-{last}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    answer.starts_with(b"HTTP/1.1 206 ").then(|| answer.split_off(end))
}
