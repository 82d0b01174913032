//! Several sources at once: how they share the work, and what becomes of those who do not do theirs.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use discover::Origin;
use init::source::Source;
use rustix::net::{AddressFamily, SocketType};
use verify::Artifact;

use crate::content::{PIECE, content, in_pieces, right, wrong};
use crate::servers::{Machine, Nginx, Trick, Trickster, pool};

/// Longer than what any of these takes on a busy machine, and shorter than what a slow source would need for its half.
const SOON: Duration = Duration::from_mins(1);

#[test]
fn two_sources_share_a_file() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    server.put("steady/one", &content);
    server.put("steady/two", &content);
    right(server.download(&artifact, &["steady/one", "steady/two"]), &content);
    for tree in ["steady/one", "steady/two"] {
        let sent = server.sent(tree);
        assert!(sent > content.len() as u64 / 4, "{tree} sent {sent} of {}", content.len());
    }
    let both = server.sent("steady");
    assert!(both < content.len() as u64 * 5 / 4, "{both} bytes were sent of {}", content.len());
}

#[test]
fn a_slow_source_costs_no_more_than_a_moment() {
    let (content, server, machine) = (content(), Nginx::start(), Machine::new());
    let (artifact, _) = in_pieces(&content);
    server.put("slow", &content);
    server.put("good", &content);
    let begun = Instant::now();
    let sources = pool(&["slow", "good"].map(|tree| server.base(tree)));
    right(machine.download(&artifact, &sources), &content);
    // Its half alone would have been three minutes.
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let said = machine.said_of(&server.base("slow"));
    assert!(said.len() == 1 && said[0].contains(" s for a piece, and another one "), "{said:?}");
    // It may be asked again, if nobody else is left.
    assert_eq!(sources.sources().len(), 2);
}

#[test]
fn who_stalls_loses_its_work_and_begins_the_next_artifact_last() {
    let (content, machine) = (content(), Machine::new());
    let (artifact, _) = in_pieces(&content);
    let stalls = Trickster::start(&content, &[Trick::Stall(PIECE + PIECE / 2)]);
    let good = Trickster::start(&content, &[Trick::None]);
    let sources = pool(&[stalls.base(), good.base()]);
    let begun = Instant::now();
    right(machine.download(&artifact, &sources), &content);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(stalls.asked().len(), 1);
    let said = machine.said_of(&stalls.base());
    assert!(said.len() == 1 && said[0].contains("nothing came for "), "{said:?}");
    // It gave one piece: no more than what it had in hand is asked for again.
    let again: usize = good.asked().iter().map(ExactSizeIterator::len).sum();
    assert!(again <= content.len(), "{again}");

    right(machine.download(&artifact, &sources), &content);
    assert_eq!((stalls.asked().len(), good.asked().last()), (1, Some(&(0..content.len()))));
}

#[test]
fn a_liar_is_named_once_and_asked_for_nothing_more() {
    let (content, machine) = (content(), Machine::new());
    let (artifact, _) = in_pieces(&content);
    // What nobody takes over from it is its first piece; it never ends its run by itself.
    let liar = Trickster::start(&wrong(&content, 0), &[Trick::Stall(PIECE)]);
    let honest = Trickster::start(&content, &[Trick::None]);
    let sources = pool(&[liar.base(), honest.base()]);
    for _ in 0..3 {
        right(machine.download(&artifact, &sources), &content);
    }
    assert_eq!(liar.asked().len(), 1);
    let said = machine.said_of(&liar.base());
    let bytes = format!("root: the SHA-256 of bytes 0 to {} is ", PIECE - 1);
    assert!(said.len() == 1 && said[0].contains(&bytes), "{said:?}");
    assert_eq!(sources.liars(), [liar.base()]);

    let other = Artifact { name: "other".to_owned(), ..artifact };
    let refused = machine.download(&other, &pool(&[])).unwrap_err();
    assert_eq!(refused, "other came from no source: there is none");
    let alone = pool(&[liar.base()]);
    alone.ban(&liar.base());
    let refused = machine.download(&other, &alone).unwrap_err();
    assert!(refused.ends_with(": it gave wrong bytes before, and is asked for nothing more"), "{refused}");
    assert_eq!(liar.asked().len(), 1);
}

#[test]
fn after_a_cut_only_what_is_missing_is_asked_for() {
    let (content, machine) = (content(), Machine::new());
    let (artifact, _) = in_pieces(&content);
    // Alone: to the byte.
    let cut = 3 * PIECE + 1000;
    let source = Trickster::start(&content, &[Trick::Cut(cut), Trick::Cut(cut), Trick::None]);
    right(machine.download(&artifact, &pool(&[source.base()])), &content);
    assert_eq!(source.asked(), [0..content.len(), cut..content.len(), 2 * cut..content.len()]);

    // With others, who take over what a server that went away had not finished.
    let gone = Trickster::start(&content, &[Trick::Cut(cut), Trick::Away]);
    let other = Trickster::start(&content, &[Trick::None]);
    right(machine.download(&artifact, &pool(&[gone.base(), other.base()])), &content);
    let mut given = other.asked();
    given.sort_by_key(|part| part.start);
    assert_eq!(given.first().map(|part| part.start), Some(3 * PIECE), "{given:?}");
    let asked: usize = given.iter().map(ExactSizeIterator::len).sum();
    assert!(asked <= content.len() - 3 * PIECE, "{given:?}");
    assert_eq!(machine.said_of(&gone.base()).len(), 1);
}

#[test]
fn when_all_are_dead_each_is_named_with_its_reason() {
    let (content, server, machine) = (content(), Nginx::start(), Machine::new());
    let (artifact, _) = in_pieces(&content);
    let away = Trickster::start(&content, &[Trick::Away]);
    let liar = Trickster::start(&wrong(&content, 5), &[Trick::None]);
    let nowhere = "http://127.0.0.1:1".to_owned();
    let bases = [server.base("empty"), away.base(), liar.base(), nowhere];
    let refused = machine.download(&artifact, &pool(&bases)).unwrap_err();
    assert!(refused.starts_with("root came from no source: "), "{refused}");
    for (base, reason) in bases.iter().zip(["answered status 404", "", "the SHA-256 of bytes", "could not be reached"])
    {
        let named = refused.find(&format!("{base}: ")).map(|at| &refused[at..]);
        assert!(named.is_some_and(|named| named.contains(reason)), "{base} {reason}: {refused}");
        assert_eq!(machine.said_of(base).len(), 1, "{base}");
    }
}

#[test]
fn a_source_that_joins_in_the_middle_is_used() {
    let (content, server, machine) = (content(), Nginx::start(), Machine::new());
    let (artifact, _) = in_pieces(&content);
    server.put("slow", &content);
    server.put("good", &content);
    let (sources, good) = (pool(&[server.base("slow")]), server.base("good"));
    let begun = Instant::now();
    thread::scope(|scope| {
        let download = scope.spawn(|| machine.download(&artifact, &sources));
        thread::sleep(Duration::from_secs(1));
        assert!(sources.join(Arc::new(Source::from(Origin::parse(&good).unwrap()))));
        right(download.join().unwrap(), &content);
    });
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(server.sent("good") > content.len() as u64 / 2);
}

#[test]
fn a_connection_that_does_not_come_about_delays_nobody() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    server.put("good", &content);
    // A listener whose queue is full answers nothing (listen(2)).
    let listener = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = SocketAddr::try_from(rustix::net::getsockname(&listener).unwrap()).unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
    let queued: Vec<_> = (0..8).map_while(|_| connect()).collect();
    assert!(queued.len() < 8, "the queue does not fill");
    let (machine, silent) = (Machine::new(), format!("http://{address}"));
    right(machine.download(&artifact, &pool(&[silent.clone(), server.base("good")])), &content);
    // It lost its work before its own limit of time, which would be a failure.
    let said = machine.said_of(&silent);
    assert!(said.len() == 1 && said[0].contains("nothing came for "), "{said:?}");
}

#[test]
fn servers_that_know_no_parts_give_the_whole() {
    let (content, machine) = (content(), Machine::new());
    let (artifact, _) = in_pieces(&content);
    let servers = [(); 2].map(|()| Trickster::start(&content, &[Trick::Whole]));
    let sources = pool(&[servers[0].base(), servers[1].base()]);
    right(machine.download(&artifact, &sources), &content);
    let whole = servers.iter().flat_map(Trickster::asked).filter(|part| *part == (0..content.len()));
    assert_eq!(whole.count(), 1);
}

#[test]
fn an_artifact_without_pieces_goes_on_at_its_source_and_begins_anew_at_the_next() {
    let (content, machine) = (content(), Machine::new());
    let artifact = Artifact { pieces: None, ..in_pieces(&content).0 };
    let cut = 3 * PIECE + 1000;
    let source = Trickster::start(&content, &[Trick::Cut(cut), Trick::None]);
    let idle = Trickster::start(&content, &[Trick::None]);
    right(machine.download(&artifact, &pool(&[source.base(), idle.base()])), &content);
    assert_eq!((source.asked(), idle.asked()), (vec![0..content.len(), cut..content.len()], vec![]));

    let stalls = Trickster::start(&content, &[Trick::Stall(cut)]);
    right(machine.download(&artifact, &pool(&[stalls.base(), idle.base()])), &content);
    let whole = 0..content.len();
    assert!(stalls.asked().len() == 1 && idle.asked().as_slice() == std::slice::from_ref(&whole));
}
