//! A cable with faults, between QEMU's card and its tap: each frame is a datagram to us and one from us.
//!
//! `tc netem` does the same in the kernel, where the kernel has it: many, of containers and small virtual machines, have not,
//! and it needs a driver besides. This one works wherever the tests do, and what becomes of the *n*-th frame is the same
//! in every run: the randomness has a fixed seed.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::Faults;

/// Bytes of the largest frame that QEMU sends.
const FRAME_BYTES: usize = 65536;
/// How often a cable that carries nothing looks whether it is still wanted.
const IDLE: Duration = Duration::from_millis(200);
/// Frames that wait for their turn; what comes then is lost. The same as netem's.
const WAITING: usize = 1000;

/// A cable that carries frames as long as it is kept.
#[derive(Debug)]
pub(super) struct Cable(Arc<AtomicBool>);

impl Drop for Cable {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Cable {
    /// A cable, the backends that join its far end with `far`, and the backend for the card at its near end.
    pub(super) fn new(faults: &Faults, far: &str) -> io::Result<(Self, [String; 4], String)> {
        let (card, at_card) = end()?;
        let (tap, at_tap) = end()?;
        let ended = Arc::new(AtomicBool::new(false));
        for (seed, from, to) in [(1, &card, &tap), (2, &tap, &card)] {
            let (from, to) = (from.try_clone()?, to.try_clone()?);
            let (emulation, ended) = (Emulation::new(faults.clone(), seed), Arc::clone(&ended));
            thread::spawn(move || carry(&from, &to, emulation, &ended));
        }
        let backends = [
            format!("{far},id=tap"),
            "hubport,id=inner,hubid=0,netdev=tap".to_owned(),
            format!("dgram,id=outer,{at_tap}"),
            "hubport,id=edge,hubid=0,netdev=outer".to_owned(),
        ];
        Ok((Self(ended), backends, format!("dgram,{at_card}")))
    }
}

/// Our end of a wire to QEMU, connected, and QEMU's end of it as an option.
fn end() -> io::Result<(UdpSocket, String)> {
    let ours = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // QEMU binds its end a moment later; nobody else is in this namespace.
    let theirs = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    ours.connect(theirs)?;
    let port = |address: SocketAddr| address.port();
    let (local, remote) = (port(theirs), port(ours.local_addr()?));
    let local = format!("local.type=inet,local.host=127.0.0.1,local.port={local}");
    Ok((ours, format!("{local},remote.type=inet,remote.host=127.0.0.1,remote.port={remote}")))
}

/// One direction of the cable.
fn carry(from: &UdpSocket, to: &UdpSocket, mut emulation: Emulation, ended: &AtomicBool) {
    let mut buffer = vec![0; FRAME_BYTES];
    while !ended.load(Ordering::Relaxed) {
        let wait = emulation.next_in(Instant::now()).unwrap_or(IDLE).clamp(Duration::from_micros(100), IDLE);
        if from.set_read_timeout(Some(wait)).is_err() {
            return;
        }
        match from.recv(&mut buffer) {
            Ok(length) => emulation.push(buffer[..length].to_vec(), Instant::now()),
            // QEMU was not there yet when something was sent, or nothing came.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::WouldBlock) => {}
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(_) => return,
        }
        while let Some(frame) = emulation.pop(Instant::now()) {
            // A frame that does not arrive is lost, as on any cable.
            let _ = to.send(&frame);
        }
    }
}

/// What becomes of frames: pure, but for the clock that is passed in.
struct Emulation {
    faults: Faults,
    random: Random,
    /// When the last frame that was let in has passed, at the rate that there is.
    free: Option<Instant>,
    number: u64,
    waiting: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
}

impl Emulation {
    fn new(faults: Faults, seed: u64) -> Self {
        Self { faults, random: Random(seed), free: None, number: 0, waiting: BinaryHeap::new() }
    }

    /// A frame enters the cable.
    fn push(&mut self, mut frame: Vec<u8>, now: Instant) {
        if self.random.chance(self.faults.loss) || self.waiting.len() >= WAITING {
            return;
        }
        if self.random.chance(self.faults.corrupt) && !frame.is_empty() {
            let bit = self.random.below(frame.len() as u64 * 8);
            frame[usize::try_from(bit / 8).unwrap_or_default()] ^= 1 << (bit % 8);
        }
        let overtakes = self.random.chance(self.faults.reorder);
        let mut due = now;
        if !overtakes {
            let spread = self.random.fraction() * 2.0 - 1.0;
            let delay = self.faults.delay.as_secs_f64() + self.faults.jitter.as_secs_f64() * spread;
            due += Duration::from_secs_f64(delay.max(0.0));
        }
        if let Some(rate) = self.faults.bits_per_second {
            let passes = Duration::from_nanos(frame.len() as u64 * 8 * 1_000_000_000 / rate.max(1));
            let free = self.free.map_or(now, |free| free.max(now)) + passes;
            self.free = Some(free);
            due = due.max(free);
        }
        self.number += 1;
        self.waiting.push(Reverse((due, self.number, frame)));
    }

    /// The next frame that has arrived by `now`.
    fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        let Reverse((due, _, _)) = self.waiting.peek()?;
        if *due > now {
            return None;
        }
        self.waiting.pop().map(|Reverse((_, _, frame))| frame)
    }

    /// How long until the next frame arrives.
    fn next_in(&self, now: Instant) -> Option<Duration> {
        self.waiting.peek().map(|Reverse((due, _, _))| due.saturating_duration_since(now))
    }
}

/// The generator `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to just below 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Ten thousand frames of 1250 bytes, one each millisecond; what arrives, and how long each was on its way.
    fn through(faults: Faults) -> Vec<(u16, Duration, Vec<u8>)> {
        let (start, mut emulation) = (Instant::now(), Emulation::new(faults, 7));
        let mut arrived = Vec::new();
        for step in 0..60_000_u32 {
            let now = start + step * MS;
            if let Ok(number) = u16::try_from(step)
                && number < 10_000
            {
                let mut frame = vec![0; 1250];
                frame[..2].copy_from_slice(&number.to_be_bytes());
                emulation.push(frame, now);
            }
            while let Some(frame) = emulation.pop(now) {
                let number = u16::from_be_bytes([frame[0], frame[1]]);
                arrived.push((number, now.saturating_duration_since(start + u32::from(number) * MS), frame));
            }
        }
        arrived
    }

    #[test]
    fn without_faults_everything_arrives_at_once_and_in_order() {
        let arrived = through(Faults::default());
        assert_eq!(arrived.len(), 10_000);
        assert!(arrived.iter().enumerate().all(|(at, (number, time, _))| usize::from(*number) == at && time.is_zero()));
    }

    #[test]
    fn loss_loses_what_it_says_and_the_same_frames_every_time() {
        let arrived = through(Faults::default().loss(30.0));
        assert!((6_800..7_200).contains(&arrived.len()), "{}", arrived.len());
        assert_eq!(arrived, through(Faults::default().loss(30.0)));
    }

    #[test]
    fn corruption_flips_one_bit_of_a_frame() {
        let arrived = through(Faults::default().corrupt(1.0));
        let ones = |(_, _, frame): &(u16, Duration, Vec<u8>)| frame[2..].iter().map(|byte| byte.count_ones()).sum();
        let flipped: Vec<u32> = arrived.iter().map(ones).filter(|ones| *ones > 0).collect();
        assert!((50..200).contains(&flipped.len()), "{}", flipped.len());
        assert!(flipped.iter().all(|ones| *ones == 1));
    }

    #[test]
    fn delay_is_delay_and_jitter_brings_frames_out_of_order() {
        let steady = through(Faults::default().delay(50 * MS, Duration::ZERO));
        assert!(steady.len() == 10_000 && steady.iter().all(|(_, time, _)| *time == 50 * MS));
        let jittery = through(Faults::default().delay(50 * MS, 20 * MS));
        assert!(jittery.iter().all(|(_, time, _)| (29 * MS..=71 * MS).contains(time)));
        assert!(jittery.windows(2).any(|pair| pair[0].0 > pair[1].0));
    }

    #[test]
    fn reordering_lets_some_overtake() {
        let arrived = through(Faults::default().delay(50 * MS, Duration::ZERO).reorder(25.0));
        let early = arrived.iter().filter(|(_, time, _)| time.is_zero()).count();
        assert!((2_200..2_800).contains(&early), "{early}");
        assert!(arrived.iter().all(|(_, time, _)| time.is_zero() || *time == 50 * MS));
    }

    #[test]
    fn a_rate_is_kept_and_what_waits_too_long_is_lost() {
        // 1250 bytes each ms are 10 Mbit/s: at 2 Mbit/s one in five passes, once a thousand wait.
        let arrived = through(Faults::default().rate(2_000_000));
        assert!((2_900..3_100).contains(&arrived.len()), "{}", arrived.len());
        assert!(arrived.iter().all(|(_, time, _)| *time <= 5_001 * MS));
    }

    #[test]
    fn frames_pass_both_ways_and_no_more_when_the_cable_is_gone() {
        let (cable, backends, card) = Cable::new(&Faults::default(), "tap").unwrap();
        let port = |backend: &str, which: &str| {
            let (_, rest) = backend.split_once(&format!("{which}.port=")).unwrap();
            rest.split(',').next().unwrap().parse::<u16>().unwrap()
        };
        let end = |backend: &str| {
            let socket = UdpSocket::bind(("127.0.0.1", port(backend, "local"))).unwrap();
            socket.connect(("127.0.0.1", port(backend, "remote"))).unwrap();
            socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
            socket
        };
        let (near, far) = (end(&card), end(&backends[2]));
        let mut buffer = [0; 8];
        for (from, to) in [(&near, &far), (&far, &near)] {
            from.send(b"frame").unwrap();
            assert_eq!(to.recv(&mut buffer).unwrap(), 5);
        }
        drop(cable);
        thread::sleep(2 * IDLE);
        far.set_read_timeout(Some(2 * IDLE)).unwrap();
        let sent = near.send(b"frame");
        assert!(sent.is_err() || far.recv(&mut buffer).is_err());
    }
}
