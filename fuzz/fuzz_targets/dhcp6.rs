//! What anybody on the link may send to a DHCPv6 client: it says a bounded number of things, ends, and an answer that it
//! takes can be given to the kernel and written to resolv.conf.

#![no_main]

use std::time::Duration;

use discover::dhcp::Event;
use discover::dhcp6::{Answer, Client, Identity, Question, Step, message};
use libfuzzer_sys::fuzz_target;

const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 7];

/// A message behind the header and the identifiers that make it an answer to the last question: its first byte is the kind.
fn addressed_to_us(rest: &[u8], question: &[u8]) -> Vec<u8> {
    let mut payload = vec![rest.first().copied().unwrap_or(7)];
    payload.extend_from_slice(&question[1..4]);
    payload.extend_from_slice(&[0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 7]);
    payload.extend_from_slice(&[0, 2, 0, 4, 1, 2, 3, 4]);
    payload.extend_from_slice(rest.get(1..).unwrap_or_default());
    payload
}

fn check(answer: &Answer) {
    if let Some(given) = answer.address {
        let address = given.address;
        assert!(given.seconds > 0 && !address.is_unspecified() && !address.is_multicast() && !address.is_loopback());
    }
    assert!(answer.dns.len() <= 3 && (1..=130).contains(&answer.server.len()));
    assert!(answer.boot.urls.len() <= 2 && answer.boot.refused.len() <= 2);
    assert!(answer.boot.urls.iter().all(|url| url.len() <= 1024 && url.bytes().all(|byte| byte.is_ascii_graphic())));
}

fuzz_target!(|bytes: &[u8]| {
    let identity = Identity { hardware: HARDWARE, transaction: 0x12_3456 };
    // As it comes, mostly refused early; then as messages that reach the options.
    if let Ok((_, answer)) = message::parse(bytes, &identity) {
        check(&answer);
    }
    let question =
        if bytes.first().is_some_and(|byte| byte & 1 == 0) { Question::Address } else { Question::Information };
    let mut client = Client::new(identity, question, Duration::ZERO, Duration::from_secs(45));
    let (mut now, mut sent, mut asked) = (Duration::ZERO, 0, vec![0; 4]);
    let mut messages = bytes.get(1..).unwrap_or_default().split(|&byte| byte == 0xee);
    loop {
        let payload = messages.next().map(|rest| addressed_to_us(rest, &asked));
        let event = payload.as_ref().map_or(Event::Tick, |payload| Event::Payload(payload));
        match client.step(event, now, 0) {
            Step::Send(message, until) => {
                assert!(message.len() > 40 && until > now);
                sent += 1;
                asked = message;
                now = if payload.is_some() { now } else { until };
            }
            Step::Wait(until) => now = if payload.is_some() { now } else { until },
            Step::Done(answer) => {
                check(&answer);
                break;
            }
            Step::GiveUp(reason) => {
                assert!(!reason.to_string().is_empty());
                break;
            }
        }
        assert!(sent <= 150, "{sent} messages in 45 s");
    }
});
