//! The client against a server made of messages, on a clock made of numbers.

use super::*;
use crate::dhcp::message::tests::{IDENTITY, plain, reply};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn offer() -> Vec<u8> {
    reply([10, 0, 2, 15], &plain(b"\x02"))
}

fn ack() -> Vec<u8> {
    reply([10, 0, 2, 15], &plain(b"\x05"))
}

fn refusal() -> Vec<u8> {
    reply([0; 4], &[(53, &[6]), (54, &[10, 0, 2, 2]), (56, b"taken")])
}

/// The kind of a message that the client sends: 1 discover, 3 request.
fn kind_of(step: &Step) -> u8 {
    match step {
        Step::Send(payload, _) => payload[242],
        other => panic!("nothing is sent: {other:?}"),
    }
}

#[test]
fn two_replies_make_a_lease() {
    let mut client = Client::new(IDENTITY);
    assert_eq!(kind_of(&client.step(Event::Tick, seconds(0), 0)), 1);
    assert_eq!(kind_of(&client.step(Event::Payload(&offer()), Duration::from_millis(5), 0)), 3);
    let Step::Done(lease) = client.step(Event::Payload(&ack()), Duration::from_millis(9), 0) else { panic!() };
    assert_eq!(lease.address, Ipv4Addr::new(10, 0, 2, 15));
}

#[test]
fn silence_ends_after_a_bounded_time() {
    let mut client = Client::new(IDENTITY);
    let (mut now, mut sent) = (seconds(0), 0);
    let error = loop {
        match client.step(Event::Tick, now, u32::MAX / 2) {
            Step::Send(_, until) => (now, sent) = (until, sent + 1),
            Step::GiveUp(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error, GaveUp::Silence { asked: 6 });
    assert_eq!(sent, 6);
    assert!(now > seconds(25) && now < seconds(35), "{now:?}");
    // It stays that way.
    assert!(matches!(client.step(Event::Payload(&offer()), now, 0), Step::GiveUp(_)));
}

#[test]
fn a_tick_too_early_sends_nothing() {
    let mut client = Client::new(IDENTITY);
    let Step::Send(_, until) = client.step(Event::Tick, seconds(0), 0) else { panic!() };
    assert_eq!(client.step(Event::Tick, until / 2, 0), Step::Wait(until));
    assert_eq!(client.step(Event::Payload(b"rubbish"), until / 2, 0), Step::Wait(until));
}

#[test]
fn a_silent_offerer_is_asked_three_times_then_everybody_again() {
    let mut client = Client::new(IDENTITY);
    client.step(Event::Tick, seconds(0), 0);
    let mut step = client.step(Event::Payload(&offer()), seconds(0), 0);
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.push(kind_of(&step));
        let Step::Send(_, until) = step else { panic!() };
        step = client.step(Event::Tick, until, 0);
    }
    assert_eq!(kinds, [3, 3, 3, 1]);
}

#[test]
fn a_circle_of_offers_and_refusals_is_bounded() {
    let mut client = Client::new(IDENTITY);
    let (mut now, mut sent) = (seconds(0), 0);
    let error = loop {
        // The server shouts both at every moment.
        let mut steps = vec![client.step(Event::Tick, now, 0)];
        for _ in 0..10 {
            steps.push(client.step(Event::Payload(&offer()), now, 0));
            steps.push(client.step(Event::Payload(&refusal()), now, 0));
        }
        sent += steps.iter().filter(|step| matches!(step, Step::Send(..))).count();
        match steps.pop() {
            Some(Step::Wait(until) | Step::Send(_, until)) => now = until,
            Some(Step::GiveUp(error)) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert!(sent <= 12, "{sent} messages");
    let last = "server 10.0.2.2 refused 10.0.2.15: 'taken'".to_owned();
    assert_eq!(error, GaveUp::Objection { asked: 6, last });
}

#[test]
fn only_the_chosen_server_can_acknowledge() {
    let mut client = Client::new(IDENTITY);
    client.step(Event::Tick, seconds(0), 0);
    client.step(Event::Payload(&offer()), seconds(0), 0);
    let mut options = plain(b"\x05");
    options[1].1 = &[10, 0, 2, 66];
    let stranger = reply([10, 0, 2, 66], &options);
    assert!(matches!(client.step(Event::Payload(&stranger), seconds(0), 0), Step::Wait(_)));
    assert!(matches!(client.step(Event::Payload(&ack()), seconds(0), 0), Step::Done(_)));
}

#[test]
fn an_unusable_offer_is_the_reason_in_the_end() {
    let mut client = Client::new(IDENTITY);
    let bad = reply([0, 0, 0, 0], &plain(b"\x02"));
    let mut now = seconds(0);
    let error = loop {
        match client.step(Event::Tick, now, 0) {
            Step::Send(_, until) => now = until,
            Step::GiveUp(error) => break error.to_string(),
            other => panic!("{other:?}"),
        }
        assert!(matches!(client.step(Event::Payload(&bad), now / 2, 0), Step::Wait(_)));
    };
    assert!(error.contains("unusable address: 0.0.0.0/24"), "{error}");
}

#[test]
fn pauses_double_and_spread() {
    for (count, plain) in [(1, 1000), (2, 2000), (3, 4000), (4, 8000), (9, 8000)] {
        assert_eq!(pause(count, 0).as_millis(), plain * 3 / 4);
        assert_eq!(pause(count, u32::MAX).as_millis(), plain * 5 / 4);
    }
}
