//! What anybody on the link may send to a DHCP client: it says a bounded number of things, ends, and a lease that it
//! takes can be given to the kernel and written to resolv.conf.

#![no_main]

use std::time::Duration;

use discover::dhcp::{Client, Event, Identity, Lease, Step, message};
use libfuzzer_sys::fuzz_target;

const IDENTITY: Identity = Identity { hardware: [2, 0, 0, 0, 0, 7], transaction: 0x1234_5678 };

/// A message behind the header that makes it ours: its address, which is the next server's too, then its options up to 255, which
/// ends them; the first of their bytes are the boot file too.
fn addressed_to_us(rest: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 240];
    payload[..3].copy_from_slice(&[2, 1, 6]);
    payload[4..8].copy_from_slice(&IDENTITY.transaction.to_be_bytes());
    payload[28..34].copy_from_slice(&IDENTITY.hardware);
    payload[236..240].copy_from_slice(&[99, 130, 83, 99]);
    let (address, options) = rest.split_at(rest.len().min(4));
    for field in [16, 20] {
        payload[field..field + address.len()].copy_from_slice(address);
    }
    let file = &options[..options.len().min(128)];
    payload[108..108 + file.len()].copy_from_slice(file);
    payload.extend_from_slice(options);
    payload.push(255);
    payload
}

fn check(lease: &Lease) {
    assert!((1..=32).contains(&lease.prefix) && lease.seconds > 0);
    assert!(!lease.address.is_unspecified() && !lease.address.is_multicast() && !lease.address.is_loopback());
    assert!(lease.routers.len() <= 3 && lease.dns.len() <= 3 && lease.routes.len() <= 16);
    assert!(lease.routes.iter().all(|route| (1..=32).contains(&route.prefix)));
    assert!(lease.mtu.is_none_or(|mtu| mtu >= 576));
    let plain = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(lease.domain.as_ref().is_none_or(plain) && lease.boot.urls.iter().all(plain));
    assert!(lease.boot.urls.iter().all(|url| url.len() <= 1024 + 22) && lease.boot.urls.len() <= 2);
    assert!(lease.boot.refused.iter().all(|reason| reason.len() < 200) && lease.boot.refused.len() <= 2);
}

fuzz_target!(|bytes: &[u8]| {
    // As it comes, mostly refused early; then as messages that reach the options.
    if let Ok(message::Reply::Lease(_, lease)) = message::parse(bytes, &IDENTITY) {
        check(&lease);
    }
    let mut client = Client::new(IDENTITY, Duration::ZERO, Duration::from_secs(45));
    let (mut now, mut sent) = (Duration::ZERO, 0);
    let mut messages = bytes.split(|&byte| byte == 255);
    loop {
        let payload = messages.next().map(addressed_to_us);
        let event = payload.as_ref().map_or(Event::Tick, |payload| Event::Payload(payload));
        match client.step(event, now, 0) {
            Step::Send(message, until) => {
                assert!(message.len() >= 300 && until > now);
                sent += 1;
                now = if payload.is_some() { now } else { until };
            }
            Step::Wait(until) => now = if payload.is_some() { now } else { until },
            Step::Done(lease) => {
                check(&lease);
                break;
            }
            Step::GiveUp(reason) => {
                assert!(!reason.to_string().is_empty());
                break;
            }
        }
        // A message every 0.75 s at the most, but for the answer to an offer.
        assert!(sent <= 150, "{sent} messages in 45 s");
    }
});
