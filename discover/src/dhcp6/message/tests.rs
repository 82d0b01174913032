//! Messages byte by byte, and hostile ones.

use proptest::prelude::*;

use super::*;

pub(in crate::dhcp6) const IDENTITY: Identity = Identity { hardware: [2, 0, 0, 0, 0, 7], transaction: 0xff12_3456 };
pub(in crate::dhcp6) const SERVER: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 5);

/// The set of addresses of a reply, with one address.
pub(in crate::dhcp6) fn addresses(association: [u8; 4], address: Ipv6Addr, seconds: u32, more: &[u8]) -> Vec<u8> {
    let mut body = [&association[..], &[0; 8]].concat();
    let value = [&address.octets()[..], &[0; 4], &seconds.to_be_bytes(), more].concat();
    option(&mut body, code::ADDRESS, &value);
    body
}

/// A server's message with these options (code, value) besides the two identifiers.
pub(in crate::dhcp6) fn reply(identity: &Identity, kind: u8, more: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&identity.transaction());
    option(&mut message, code::CLIENT, &identity.duid());
    option(&mut message, code::SERVER, SERVER);
    for (code, value) in more {
        option(&mut message, *code, value);
    }
    message
}

/// What a REPLY with one more option says.
fn with(code: u16, value: &[u8]) -> Answer {
    parse(&reply(&IDENTITY, 7, &[(code, value)]), &IDENTITY).unwrap().1
}

#[test]
fn what_we_write_has_the_form_of_the_rfcs() {
    let message = information(&IDENTITY, 0x1234);
    assert_eq!(message[..4], [11, 0x12, 0x34, 0x56]);
    let read = options(&message[4..]).unwrap();
    let find = |code| read.iter().find(|(known, _)| *known == code).map(|(_, value)| *value);
    assert_eq!(find(1), Some(&[0, 3, 0, 1, 2, 0, 0, 0, 0, 7][..]));
    assert_eq!(find(8), Some(&[0x12, 0x34][..]));
    assert_eq!(find(15), Some(&b"\0\x09PhaseBoot"[..]));
    assert_eq!(find(6), Some(&[0, 23, 0, 59, 0, 32, 0, 83][..]));
    assert_eq!((find(2), find(3)), (None, None));

    let message = solicit(&IDENTITY, 0);
    assert_eq!(message[0], 1);
    let read = options(&message[4..]).unwrap();
    assert!(read.contains(&(3, &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0])), "{read:?}");

    let advertised = with(3, &addresses([0, 0, 0, 7], ADDRESS, 600, &[]));
    let message = request(&IDENTITY, 0, &advertised);
    assert_eq!(message[0], 3);
    let read = options(&message[4..]).unwrap();
    assert!(read.contains(&(2, SERVER)), "{read:?}");
    let wanted = addresses([0, 0, 0, 7], ADDRESS, 0, &[]);
    assert!(read.contains(&(3, &wanted)), "{read:?}");
}

#[test]
fn a_reply_is_read() {
    let dns = [[0xfd, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53], [0; 16]].concat();
    let set = addresses([0, 0, 0, 7], ADDRESS, 600, &[]);
    let options: [(u16, &[u8]); 4] = [(13, &[0, 0]), (23, &dns), (59, b"http://[fd00:77::1]/tree"), (3, &set)];
    let (kind, answer) = parse(&reply(&IDENTITY, 2, &options), &IDENTITY).unwrap();
    assert_eq!(kind, Kind::Advertise);
    assert_eq!(answer.address, Some(Given { address: ADDRESS, seconds: 600 }));
    assert_eq!(answer.dns, ["fd00:77::53".parse::<Ipv6Addr>().unwrap()]);
    assert_eq!(answer.boot.urls, ["http://[fd00:77::1]/tree"]);
    assert_eq!(parse(&reply(&IDENTITY, 7, &[]), &IDENTITY).unwrap().0, Kind::Reply);
}

#[test]
fn other_peoples_messages_are_not_ours() {
    let good = reply(&IDENTITY, 7, &[]);
    // Kind, transaction, our identifier.
    for at in [0, 1, 3, 8, 17] {
        let mut other = good.clone();
        other[at] ^= 1;
        assert!(matches!(parse(&other, &IDENTITY), Err(MessageError::NotOurs { .. })), "byte {at}");
    }
    for length in [4, 18] {
        assert!(matches!(parse(&good[..length], &IDENTITY), Err(MessageError::NotOurs { .. })), "{length} bytes");
    }
    let long = with_server(&[7; 131]);
    assert_eq!(parse(&long, &IDENTITY), Err(MessageError::NotOurs { what: "no identifier of a server" }));
    assert!(parse(&with_server(&[7; 130]), &IDENTITY).is_ok());
}

fn with_server(server: &[u8]) -> Vec<u8> {
    let mut message = reply(&IDENTITY, 7, &[])[..18].to_vec();
    option(&mut message, code::SERVER, server);
    message
}

#[test]
fn lengths_are_checked() {
    assert_eq!(parse(&[7, 0, 0], &IDENTITY), Err(MessageError::Length { seen: 3 }));
    assert_eq!(parse(&vec![7; 1501], &IDENTITY), Err(MessageError::Length { seen: 1501 }));
    let good = reply(&IDENTITY, 7, &[(59, b"http://h")]);
    assert_eq!(parse(&good[..good.len() - 1], &IDENTITY), Err(MessageError::Cut { code: 59 }));
    let rest = [&good[..], &[0, 1]].concat();
    assert_eq!(parse(&rest, &IDENTITY), Err(MessageError::Cut { code: 0 }));
}

#[test]
fn a_refusal_has_words() {
    let refused = parse(&reply(&IDENTITY, 7, &[(13, b"\0\x02none\x1b left")]), &IDENTITY).unwrap_err();
    assert_eq!(refused, MessageError::Refused { status: 2, words: "none left".to_owned() });
    assert!(parse(&reply(&IDENTITY, 7, &[(13, b"\0\0fine")]), &IDENTITY).is_ok());
}

#[test]
fn an_address_is_ours_and_possible_or_there_is_none() {
    let given = |association, address: &str, seconds, more: &[u8]| {
        with(3, &addresses(association, address.parse().unwrap(), seconds, more)).address
    };
    let ours = [0, 0, 0, 7];
    assert_eq!(given(ours, "fd00::5", 1, &[]).map(|given| given.seconds), Some(1));
    assert_eq!(given([0; 4], "fd00::5", 1, &[]), None, "another association");
    assert_eq!(given(ours, "fd00::5", 0, &[]), None, "no time");
    assert_eq!(given(ours, "fd00::5", 1, &[0, 13, 0, 2, 0, 4]), None, "a status");
    for address in ["::", "::1", "ff02::1", "fe80::1", "::ffff:10.0.0.1"] {
        assert_eq!(given(ours, address, 1, &[]), None, "{address}");
    }
    // No address, but a word why.
    assert_eq!(with(3, &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, 0, 2, 0, 2]).address, None);
    for cut in [&[][..], &[0, 0, 0, 7], &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 9]] {
        assert_eq!(with(3, cut).address, None, "{cut:?}");
    }
}

#[test]
fn lists_are_cut_and_cleaned() {
    let servers: Vec<u8> = ["fd00::1", "ff02::1", "fd00::1", "fe80::2", "::1", "fd00::3", "fd00::4"]
        .iter()
        .flat_map(|server| server.parse::<Ipv6Addr>().unwrap().octets())
        .collect();
    assert_eq!(
        with(23, &servers).dns,
        ["fd00::1", "fe80::2", "fd00::3"].map(|server| server.parse::<Ipv6Addr>().unwrap())
    );
    assert_eq!(with(23, &servers[..20]).dns.len(), 1);
    // A path has no server to be on.
    let boot = with(59, b"/tree").boot;
    assert!(boot.urls.is_empty() && boot.refused[0].contains("no next-server"), "{boot:?}");
}

proptest! {
    /// Any bytes give an answer or a reason, also behind a header that is good.
    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..1600), good_header: bool, kind in 0u8..9) {
        let mut payload = if good_header { reply(&IDENTITY, kind, &[]) } else { Vec::new() };
        payload.extend_from_slice(&bytes);
        if let Ok((_, answer)) = parse(&payload, &IDENTITY) {
            prop_assert!(answer.dns.len() <= NAME_SERVERS && answer.boot.urls.len() <= 2);
            prop_assert!((1..=LONGEST_DUID).contains(&answer.server.len()));
        }
    }

    /// Flipping one byte of a good message never turns it into an address that no host can have.
    #[test]
    fn one_bad_byte(at in 0usize..120, value: u8) {
        let set = addresses([0, 0, 0, 7], ADDRESS, 600, &[]);
        let mut message = reply(&IDENTITY, 7, &[(3, &set), (23, &ADDRESS.octets()), (59, b"http://h/tree")]);
        if let Some(byte) = message.get_mut(at) {
            *byte = value;
        }
        if let Ok((_, answer)) = parse(&message, &IDENTITY) {
            prop_assert!(answer.address.is_none_or(|given| is_host(given.address) && given.seconds > 0));
            prop_assert!(answer.dns.iter().all(|&server| is_host(server)));
        }
    }
}
