//! The wait before the jump: neighbours that still ask get their answers, and nobody can hold the machine up for longer than it
//! said.

use std::time::{Duration, Instant};

use super::server::Server;
use super::{Given, Limits};
use crate::console::Console;
use crate::download::Pulse;
use crate::progress::Mib;

/// How often it is looked whether somebody has asked.
const TICK: Duration = Duration::from_millis(100);
/// How often the console hears how long it may still take.
const SAID: Duration = Duration::from_secs(10);

/// Waits, and says so if there is something to wait for.
pub(super) fn until_nobody_asks(server: &Server, limits: &Limits, console: &Console, pulse: &dyn Pulse) -> Given {
    let begun = Instant::now();
    let mut said: Option<Instant> = None;
    while let Some(left) = left(begun, server.activity().last, Instant::now(), limits) {
        // Until the first request there is only the pause that a first request may need.
        if said.is_none_or(|said| said.elapsed() >= SAID) && server.activity().given.peers > 0 {
            said = Some(Instant::now());
            console.info(format_args!(
                "neighbours are still served: the jump is when none has asked for {} s, in {} s at the latest",
                limits.silence.as_secs(),
                left.as_secs()
            ));
        }
        pulse.beat();
        std::thread::sleep(TICK);
    }
    let given = server.activity().given;
    if given.peers > 0 {
        let plural = if given.peers == 1 { "" } else { "s" };
        console.info(format_args!("{} shared with {} neighbour{plural}", Mib(given.bytes), given.peers));
    }
    given
}

/// How long the wait that began at `begun` may still take; `None` if it is over: because the last request is long enough ago,
/// or because everything has an end.
fn left(begun: Instant, last: Instant, now: Instant, limits: &Limits) -> Option<Duration> {
    let silent = now.saturating_duration_since(last) >= limits.silence;
    let left = limits.wait.checked_sub(now.saturating_duration_since(begun))?;
    (!silent && !left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};
    use std::path::Path;

    use super::*;
    use crate::console::Verbosity;
    use crate::share::LIMITS;
    use crate::share::server::tests::{large, server};
    use crate::share::shelf::Shelf;

    #[test]
    fn silence_ends_the_wait_and_so_does_its_limit() {
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let left = |begun, last, now| left(begun, last, now, &LIMITS);
        let minute = LIMITS.wait.as_secs();
        assert_eq!(left(begun, begun, begun), Some(LIMITS.wait));
        assert_eq!(left(begun, begun, begun + LIMITS.silence), None);
        assert_eq!(left(at(100), begun, at(100)), None, "the last request was long before the end of the download");
        assert_eq!(left(begun, at(5), at(6)), Some(Duration::from_secs(minute - 6)));
        assert_eq!(left(begun, at(minute), at(minute - 1)), Some(Duration::from_secs(1)));
        assert_eq!(left(begun, at(minute), at(minute)), None, "somebody asks for ever");
        assert_eq!(left(begun, at(minute), at(2 * minute)), None);
    }

    #[derive(Debug)]
    struct Unheard;

    impl Pulse for Unheard {
        fn beat(&self) {}
    }

    /// How long a machine waits that would wait for 500 ms of silence, and 3 s at most.
    fn waited(server: &Server) -> Duration {
        let limits = Limits { silence: Duration::from_millis(500), wait: Duration::from_secs(3), ..LIMITS };
        let begun = Instant::now();
        let console = Console::attach(Path::new("/nowhere"), "", Verbosity::Quiet);
        until_nobody_asks(server, &limits, &console, &Unheard);
        begun.elapsed()
    }

    #[test]
    fn nobody_asks_and_nobody_is_waited_for() {
        assert!(waited(&server(Shelf::open())) < Duration::from_secs(2));
    }

    #[test]
    fn a_slow_reader_is_waited_for_and_not_longer_than_the_limit() {
        let (shelf, _board, path) = large(64 << 20);
        let server = server(shelf);
        let mut peer = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        write!(peer, "GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        // 1 MiB every 100 ms is more than a socket holds, and would take 6 s.
        let reader = std::thread::spawn(move || {
            let mut part = vec![0; 1 << 20];
            while peer.read_exact(&mut part).is_ok() {
                std::thread::sleep(TICK);
            }
        });
        let waited = waited(&server);
        assert!(waited >= Duration::from_millis(2900) && waited < Duration::from_secs(5), "{waited:?}");
        drop(server);
        reader.join().unwrap();
    }
}
