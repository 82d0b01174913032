//! The client against a server made of messages, on a clock made of numbers.

use super::*;
use crate::dhcp::message::tests::{IDENTITY, plain, reply};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn client() -> Client {
    Client::new(IDENTITY, seconds(0), seconds(45))
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
    let mut client = client();
    assert_eq!(kind_of(&client.step(Event::Tick, seconds(0), 0)), 1);
    assert_eq!(kind_of(&client.step(Event::Payload(&offer()), Duration::from_millis(5), 0)), 3);
    let Step::Done(lease) = client.step(Event::Payload(&ack()), Duration::from_millis(9), 0) else { panic!() };
    assert_eq!(lease.address, Ipv4Addr::new(10, 0, 2, 15));
}

#[test]
fn everybody_is_asked_until_the_deadline_and_never_rarely() {
    let mut client = Client::new(IDENTITY, seconds(100), seconds(145));
    let (mut now, mut sent) = (seconds(100), Vec::new());
    let error = loop {
        match client.step(Event::Tick, now, u32::MAX / 2) {
            Step::Send(payload, until) => {
                assert_eq!(u64::from(payload[9]), now.as_secs() - 100, "seconds since it began");
                sent.push(now);
                now = until;
            }
            Step::GiveUp(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error, GaveUp::Silence { asked: 13 });
    assert_eq!(now, seconds(145));
    // Whenever a switch port opens, somebody knocks within 5 s.
    assert!(sent.windows(2).all(|pair| pair[1] <= pair[0] + seconds(5)), "{sent:?}");
    // It stays that way.
    assert!(matches!(client.step(Event::Payload(&offer()), now, 0), Step::GiveUp(_)));
}

#[test]
fn a_server_that_comes_up_late_is_found() {
    let mut client = client();
    let mut now = seconds(0);
    while now < seconds(31) {
        let Step::Send(_, until) = client.step(Event::Tick, now, 0) else { panic!() };
        now = until;
    }
    assert_eq!(kind_of(&client.step(Event::Payload(&offer()), now, 0)), 3);
    assert!(client.has_offer());
    assert!(matches!(client.step(Event::Payload(&ack()), now, 0), Step::Done(_)));
}

#[test]
fn a_refused_request_leads_back_to_asking_everybody() {
    let mut client = client();
    client.step(Event::Tick, seconds(0), 0);
    client.step(Event::Payload(&offer()), seconds(0), 0);
    let Step::Wait(until) = client.step(Event::Payload(&refusal()), seconds(0), 0) else { panic!() };
    assert!(!client.has_offer() && until <= seconds(2), "{until:?}");
    assert_eq!(kind_of(&client.step(Event::Tick, until, 0)), 1);
    assert_eq!(kind_of(&client.step(Event::Payload(&offer()), until, 0)), 3);
    assert!(matches!(client.step(Event::Payload(&ack()), until, 0), Step::Done(_)));
}

#[test]
fn a_declined_lease_is_given_back_and_everybody_is_asked_again() {
    let mut client = client();
    client.step(Event::Tick, seconds(0), 0);
    client.step(Event::Payload(&offer()), seconds(0), 0);
    let Step::Done(lease) = client.step(Event::Payload(&ack()), seconds(0), 0) else { panic!() };
    let step = client.decline(&lease, seconds(1), 0);
    assert_eq!(kind_of(&step), 4);
    let Step::Send(_, until) = step else { panic!() };
    assert!(until > seconds(1));
    assert_eq!(kind_of(&client.step(Event::Tick, until, 0)), 1);
    let GaveUp::Objection { last, .. } = client.gave_up() else { panic!() };
    assert_eq!(last, "another machine uses 10.0.2.15, which server 10.0.2.2 gave");
}

#[test]
fn a_tick_too_early_sends_nothing() {
    let mut client = client();
    let Step::Send(_, until) = client.step(Event::Tick, seconds(0), 0) else { panic!() };
    assert_eq!(client.step(Event::Tick, until / 2, 0), Step::Wait(until));
    assert_eq!(client.step(Event::Payload(b"rubbish"), until / 2, 0), Step::Wait(until));
}

#[test]
fn a_silent_offerer_is_asked_three_times_then_everybody_again() {
    let mut client = client();
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
    let mut client = client();
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
    assert!(sent <= 40, "{sent} messages in 45 s");
    let GaveUp::Objection { last, .. } = error else { panic!("{error}") };
    assert_eq!(last, "server 10.0.2.2 refused 10.0.2.15: 'taken'");
}

#[test]
fn only_the_chosen_server_can_acknowledge() {
    let mut client = client();
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
    let mut client = client();
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
    for (count, plain) in [(1, 1000), (2, 2000), (3, 4000), (4, 4000), (9, 4000)] {
        assert_eq!(pause(count, 0).as_millis(), plain * 3 / 4);
        assert_eq!(pause(count, u32::MAX).as_millis(), plain * 5 / 4);
    }
}
