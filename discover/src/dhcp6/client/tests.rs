//! Conversations, without a socket and with a clock of the test's own.

use super::super::message::tests::{IDENTITY, SERVER, addresses, reply};
use super::*;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn client(question: Question) -> Client {
    Client::new(IDENTITY, question, Duration::ZERO, seconds(3))
}

/// The kind and the transaction of what is to be sent.
fn said(step: &Step) -> (u8, u32) {
    match step {
        Step::Send(message, _) => (message[0], u32::from_be_bytes([0, message[1], message[2], message[3]])),
        other => panic!("nothing is said: {other:?}"),
    }
}

fn hears(client: &mut Client, transaction: u32, kind: u8, more: &[(u16, &[u8])]) -> Step {
    hears_at(client, 1, transaction, kind, more)
}

fn hears_at(client: &mut Client, second: u64, transaction: u32, kind: u8, more: &[(u16, &[u8])]) -> Step {
    let identity = Identity { transaction, ..IDENTITY };
    client.step(Event::Payload(&reply(&identity, kind, more)), seconds(second), 0)
}

fn set(seconds: u32) -> Vec<u8> {
    addresses([0, 0, 0, 7], "fd00:77::5".parse().unwrap(), seconds, &[])
}

#[test]
fn information_takes_two_messages() {
    let mut client = client(Question::Information);
    let (kind, transaction) = said(&client.step(Event::Tick, Duration::ZERO, 0));
    assert_eq!(kind, 11);
    // An advertisement answers no such question.
    assert!(matches!(hears(&mut client, transaction, 2, &[]), Step::Send(..) | Step::Wait(_)));
    match hears(&mut client, transaction, 7, &[(59, b"http://h/tree"), (3, &set(600))]) {
        Step::Done(answer) => {
            assert_eq!(answer.boot.urls, ["http://h/tree"]);
            assert_eq!(answer.address, None, "nobody asked for one");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_address_takes_four_messages_with_two_numbers() {
    let mut client = client(Question::Address);
    let (kind, first) = said(&client.step(Event::Tick, Duration::ZERO, 0));
    assert_eq!(kind, 1);
    let (kind, second) = said(&hears(&mut client, first, 2, &[(3, &set(600))]));
    assert_eq!(kind, 3);
    assert_ne!(first, second);
    assert!(matches!(hears(&mut client, first, 7, &[(3, &set(600))]), Step::Wait(_) | Step::Send(..)), "too late");
    match hears(&mut client, second, 7, &[(3, &set(600))]) {
        Step::Done(answer) => assert_eq!((answer.address.unwrap().seconds, &*answer.server), (600, SERVER)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_without_addresses_is_asked_what_it_knows() {
    let mut client = client(Question::Address);
    let (_, transaction) = said(&client.step(Event::Tick, Duration::ZERO, 0));
    assert!(matches!(hears_at(&mut client, 0, transaction, 2, &[]), Step::Wait(_)), "another server may have one");
    let (kind, next) = said(&client.step(Event::Tick, seconds(2), 0));
    assert_eq!((kind, client.question()), (11, Question::Information));
    assert!(matches!(hears(&mut client, next, 7, &[]), Step::Done(Answer { address: None, .. })));
}

#[test]
fn a_server_without_addresses_hides_none_that_has_one() {
    let mut client = client(Question::Address);
    let (_, transaction) = said(&client.step(Event::Tick, Duration::ZERO, 0));
    assert!(matches!(hears_at(&mut client, 0, transaction, 2, &[]), Step::Wait(_)));
    let (kind, second) = said(&hears_at(&mut client, 0, transaction, 2, &[(3, &set(600))]));
    assert_eq!(kind, 3);
    assert!(matches!(hears(&mut client, second, 7, &[(3, &set(600))]), Step::Done(Answer { address: Some(_), .. })));
}

#[test]
fn an_address_that_is_taken_back_is_asked_for_again_later() {
    let mut client = client(Question::Address);
    let (_, transaction) = said(&client.step(Event::Tick, Duration::ZERO, 0));
    let (_, second) = said(&hears(&mut client, transaction, 2, &[(3, &set(600))]));
    let Step::Wait(until) = hears(&mut client, second, 7, &[(3, &set(0))]) else { panic!("no pause") };
    assert!(until > seconds(1));
    assert_eq!(said(&client.step(Event::Tick, until, 0)).0, 1);
}

#[test]
fn silence_and_refusals_end_in_bounded_time_with_a_word() {
    for (question, refuses) in
        [(Question::Information, false), (Question::Address, true), (Question::Information, true)]
    {
        let mut client = client(question);
        let (mut now, mut sent) = (Duration::ZERO, 0);
        let reason = loop {
            match client.step(Event::Tick, now, 0) {
                Step::Send(message, until) => {
                    sent += 1;
                    let transaction = u32::from_be_bytes([0, message[1], message[2], message[3]]);
                    let refusal = reply(&Identity { transaction, ..IDENTITY }, 7, &[(13, b"\0\x01busy")]);
                    let step = if refuses { client.step(Event::Payload(&refusal), now, 0) } else { Step::Wait(until) };
                    assert_eq!(step, Step::Wait(until), "a refusal must not be answered at once");
                    now = until;
                }
                Step::Wait(until) => now = until,
                Step::GiveUp(reason) => break reason.to_string(),
                Step::Done(answer) => panic!("{answer:?}"),
            }
        };
        assert!(now <= seconds(3) && (2..=4).contains(&sent), "{sent} messages until {now:?}");
        let wanted = if refuses { "refused with status 1: 'busy'" } else { "no DHCPv6 server answered" };
        assert!(reason.contains(wanted), "{reason}");
    }
}
