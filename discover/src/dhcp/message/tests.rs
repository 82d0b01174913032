//! Messages byte by byte, and hostile ones.

use proptest::prelude::*;

use super::*;

pub(in crate::dhcp) const IDENTITY: Identity = Identity { hardware: [2, 0, 0, 0, 0, 7], transaction: 0x1234_5678 };

/// A server's message with an address and options (code, value).
pub(in crate::dhcp) fn reply(address: [u8; 4], options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut message = vec![0; FIXED_BYTES];
    message[..3].copy_from_slice(&[2, 1, 6]);
    message[4..8].copy_from_slice(&IDENTITY.transaction.to_be_bytes());
    message[16..20].copy_from_slice(&address);
    message[28..34].copy_from_slice(&IDENTITY.hardware);
    message[236..240].copy_from_slice(&COOKIE);
    for (code, value) in options {
        message.extend_from_slice(&[*code, u8::try_from(value.len()).unwrap()]);
        message.extend_from_slice(value);
    }
    message.push(code::END);
    message
}

/// The options of a plain message of a kind.
pub(in crate::dhcp) fn plain(kind: &'static [u8]) -> Vec<(u8, &'static [u8])> {
    vec![
        (code::KIND, kind),
        (code::SERVER, &[10, 0, 2, 2]),
        (code::MASK, &[255, 255, 255, 0]),
        (code::ROUTERS, &[10, 0, 2, 2]),
        (code::NAME_SERVERS, &[10, 0, 2, 3]),
        (code::LEASE_TIME, &[0, 1, 0x51, 0x80]),
    ]
}

/// The lease in an offer like [`plain`]'s with one option put in another's place or added.
fn with(code: u8, value: &[u8]) -> Result<Lease, MessageError> {
    let mut options: Vec<(u8, &[u8])> = plain(b"\x02").into_iter().filter(|(known, _)| *known != code).collect();
    options.push((code, value));
    parse(&reply([10, 0, 2, 15], &options), &IDENTITY).map(lease_of)
}

fn lease_of(reply: Reply) -> Lease {
    match reply {
        Reply::Lease(_, lease) => lease,
        Reply::Refusal { .. } => panic!("a refusal"),
    }
}

#[test]
fn an_offer_is_read() {
    let reply = parse(&reply([10, 0, 2, 15], &plain(b"\x02")), &IDENTITY).unwrap();
    let lease = Lease {
        address: Ipv4Addr::new(10, 0, 2, 15),
        prefix: 24,
        server: Ipv4Addr::new(10, 0, 2, 2),
        routers: vec![Ipv4Addr::new(10, 0, 2, 2)],
        routes: Vec::new(),
        dns: vec![Ipv4Addr::new(10, 0, 2, 3)],
        seconds: 86400,
        domain: None,
        mtu: None,
        boot: BootFile::default(),
    };
    assert_eq!(reply, Reply::Lease(Kind::Offer, lease));
}

#[test]
fn what_we_write_has_the_form_of_the_rfcs() {
    let message = discover(&IDENTITY, 3);
    assert_eq!(message.len(), SHORTEST);
    assert_eq!(message[..12], [1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78, 0, 3, 0x80, 0]);
    assert_eq!(message[28..34], IDENTITY.hardware);
    let options = Options::read(&message).unwrap();
    assert_eq!(options.find(code::KIND), Some(&[1][..]));
    assert_eq!(options.find(code::USER_CLASS), Some(&b"\x09PhaseBoot"[..]));
    assert_eq!(options.find(code::CLIENT), Some(&[1, 2, 0, 0, 0, 0, 7][..]));
    assert_eq!(options.find(code::REQUESTED), None);
    let wanted = options.find(code::PARAMETERS).unwrap();
    let place = |code| wanted.iter().position(|&known| known == code).unwrap();
    assert!(place(code::ROUTES) < place(code::ROUTERS), "RFC 3442: {wanted:?}");

    let offer = with(code::DOMAIN, b"lan").unwrap();
    let options = Options::read(&request(&IDENTITY, 0, &offer)).unwrap();
    assert_eq!(options.find(code::KIND), Some(&[3][..]));
    assert_eq!(options.address(code::REQUESTED), Ok(Some(offer.address)));
    assert_eq!(options.address(code::SERVER), Ok(Some(offer.server)));
}

#[test]
fn what_is_declined_is_named_and_nothing_is_asked_for() {
    let lease = with(code::DOMAIN, b"lan").unwrap();
    let message = decline(&IDENTITY, &lease);
    assert_eq!(message[12..28], [0; 16], "no address is ours");
    let options = Options::read(&message).unwrap();
    assert_eq!(options.find(code::KIND), Some(&[4][..]));
    assert_eq!(options.address(code::REQUESTED), Ok(Some(lease.address)));
    assert_eq!(options.address(code::SERVER), Ok(Some(lease.server)));
    assert_eq!(options.find(code::PARAMETERS), None);
}

#[test]
fn classless_routes_stand_instead_of_routers() {
    let lease = with(code::ROUTES, &[24, 10, 9, 8, 0, 0, 0, 0, 0, 10, 0, 2, 9]).unwrap();
    assert_eq!(lease.routers, [Ipv4Addr::new(10, 0, 2, 9)]);
    assert_eq!(lease.routes, [Route { network: Ipv4Addr::new(10, 9, 8, 0), prefix: 24, router: None }]);
    let without_default = with(code::ROUTES, &[24, 10, 9, 8, 10, 0, 2, 9]).unwrap();
    assert_eq!(without_default.routers, [] as [Ipv4Addr; 0]);
    // Half a table is none.
    let cut = with(code::ROUTES, &[24, 10, 9, 8, 10, 0, 2]).unwrap();
    assert_eq!((cut.routers, cut.routes), (vec![Ipv4Addr::new(10, 0, 2, 2)], vec![]));
}

#[test]
fn a_refusal_has_words() {
    let options: [(u8, &[u8]); 3] =
        [(code::KIND, &[6]), (code::SERVER, &[10, 0, 2, 2]), (code::MESSAGE, b"wrong\x1b[2J network")];
    let reason = "wrong[2J network".to_owned();
    let server = Ipv4Addr::new(10, 0, 2, 2);
    assert_eq!(parse(&reply([0; 4], &options), &IDENTITY), Ok(Reply::Refusal { server, reason }));
}

#[test]
fn other_peoples_messages_are_not_ours() {
    let good = reply([10, 0, 2, 15], &plain(b"\x02"));
    for at in [0, 1, 2, 4, 7, 28, 33, 236, 239] {
        let mut other = good.clone();
        other[at] ^= 1;
        assert!(matches!(parse(&other, &IDENTITY), Err(MessageError::NotOurs { .. })), "byte {at}");
    }
    let inform = reply([10, 0, 2, 15], &plain(b"\x08"));
    assert!(matches!(parse(&inform, &IDENTITY), Err(MessageError::NotOurs { .. })));
}

#[test]
fn lengths_are_checked() {
    let good = reply([10, 0, 2, 15], &plain(b"\x02"));
    assert_eq!(parse(&good[..239], &IDENTITY), Err(MessageError::Length { seen: 239 }));
    assert_eq!(parse(&vec![0; 1501], &IDENTITY), Err(MessageError::Length { seen: 1501 }));
    let mut cut = reply([10, 0, 2, 15], &plain(b"\x02"));
    cut.truncate(cut.len() - 3);
    assert_eq!(parse(&cut, &IDENTITY), Err(MessageError::Cut { code: code::LEASE_TIME }));
}

#[test]
fn impossible_addresses_are_refused() {
    let at = |address| parse(&reply(address, &plain(b"\x02")), &IDENTITY);
    for address in
        [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4], [10, 0, 2, 0], [10, 0, 2, 255], [0, 1, 2, 3]]
    {
        let error = at(address).unwrap_err();
        assert!(matches!(error, MessageError::Unusable { what: "address", .. }), "{address:?}: {error}");
    }
    // A network of one host, as clouds give it.
    let mut options = plain(b"\x02");
    options[2].1 = &[255; 4];
    assert_eq!(lease_of(parse(&reply([10, 0, 2, 255], &options), &IDENTITY).unwrap()).prefix, 32);
}

#[test]
fn masks_are_prefixes() {
    assert_eq!(with(code::MASK, &[255, 255, 240, 0]).unwrap().prefix, 20);
    for mask in [[255, 0, 255, 0], [0, 0, 0, 0], [0, 255, 255, 255]] {
        assert!(matches!(with(code::MASK, &mask), Err(MessageError::Unusable { what: "subnet mask", .. })), "{mask:?}");
    }
    assert!(with(code::MASK, &[255, 255, 255]).is_err());
    assert!(with(code::LEASE_TIME, &[0; 4]).is_err());
    assert!(with(code::LEASE_TIME, &[0; 3]).is_err());
}

#[test]
fn lists_are_cut_and_cleaned() {
    let servers: Vec<u8> =
        [[9, 9, 9, 9], [0, 0, 0, 0], [9, 9, 9, 9], [224, 0, 0, 1], [1, 1, 1, 1], [8, 8, 8, 8], [4; 4]].concat();
    let dns = with(code::NAME_SERVERS, &servers).unwrap().dns;
    assert_eq!(dns, [Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(8, 8, 8, 8)]);
    assert_eq!(with(code::NAME_SERVERS, &[1, 2]).unwrap().dns, [] as [Ipv4Addr; 0]);
}

#[test]
fn hints_are_kept_only_if_harmless() {
    assert_eq!(with(code::DOMAIN, b"example.org\0").unwrap().domain.as_deref(), Some("example.org"));
    for bad in [&b"a\nnameserver 6.6.6.6"[..], b"a b", b"", &[0xff, 0xfe], &[b'a'; 254]] {
        assert_eq!(with(code::DOMAIN, bad).unwrap().domain, None);
    }
    assert_eq!(with(code::MTU, &[0x05, 0xb4]).unwrap().mtu, Some(1460));
    assert_eq!(with(code::MTU, &[0, 68]).unwrap().mtu, None);
}

#[test]
fn a_boot_file_is_a_url_or_a_path_on_the_next_server() {
    // Header fields: next server, boot file; options: server name, boot file.
    let boot = |next: [u8; 4], file: &[u8], server: &[u8], name: &[u8]| {
        let mut options = plain(b"\x02");
        options.extend([(code::BOOT_SERVER, server), (code::BOOT_FILE, name)].map(|(code, value)| (code, value)));
        let mut message = reply([10, 0, 2, 15], &options);
        message[20..24].copy_from_slice(&next);
        message[108..108 + file.len()].copy_from_slice(file);
        lease_of(parse(&message, &IDENTITY).unwrap()).boot
    };
    let urls = |next, file: &[u8], server: &[u8], name: &[u8]| boot(next, file, server, name).urls;
    assert_eq!(urls([0; 4], b"", b"", b"https://h/tree"), ["https://h/tree"]);
    assert_eq!(urls([0; 4], b"http://h/tree", b"", b""), ["http://h/tree"]);
    assert_eq!(urls([10, 0, 2, 9], b"http://a", b"", b"/b"), ["http://10.0.2.9/b", "http://a"]);
    assert_eq!(urls([10, 0, 2, 9], b"", b"10.0.2.8", b"/b"), ["http://10.0.2.9/b"], "the header goes first");
    assert_eq!(urls([0; 4], b"/b", b"10.0.2.8\0", b""), ["http://10.0.2.8/b"]);
    for server in [&b"tftp.example"[..], b"255.255.255.255", b"\xff"] {
        let boot = boot([127, 0, 0, 1], b"/b", server, b"");
        assert!(boot.urls.is_empty() && boot.refused[0].contains("no next-server"), "{boot:?}");
    }
    assert!(boot([10, 0, 2, 9], b"pxelinux.0", b"", b"").refused[0].contains("pxelinux.0"));
}

#[test]
fn parts_of_an_option_are_one_value() {
    let mut options = plain(b"\x02");
    options.push((code::BOOT_FILE, b"http://"));
    options.push((code::BOOT_FILE, b"h/tree"));
    let lease = lease_of(parse(&reply([10, 0, 2, 15], &options), &IDENTITY).unwrap());
    assert_eq!(lease.boot.urls, ["http://h/tree"]);
}

#[test]
fn options_continue_in_other_fields() {
    let mut options = plain(b"\x02");
    options.push((code::OVERLOAD, &[3]));
    let mut message = reply([10, 0, 2, 15], &options);
    message[108..118].copy_from_slice(b"\x0f\x03lan\xff\xff\xff\xff\xff");
    message[44..50].copy_from_slice(&[code::MTU, 2, 5, 0xb4, code::END, 0]);
    let lease = lease_of(parse(&message, &IDENTITY).unwrap());
    assert_eq!((lease.domain.as_deref(), lease.mtu), (Some("lan"), Some(1460)));
    assert_eq!(lease.boot, BootFile::default(), "options are no boot file");
}

proptest! {
    /// Any bytes give an answer or a reason, also behind a header that is good.
    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..1600), good_header: bool) {
        let mut payload = bytes;
        if good_header && payload.len() >= FIXED_BYTES {
            let head = reply([10, 0, 2, 15], &[]);
            payload[..FIXED_BYTES].copy_from_slice(&head[..FIXED_BYTES]);
        }
        if let Ok(Reply::Lease(_, lease)) = parse(&payload, &IDENTITY) {
            prop_assert!(lease.dns.len() <= NAME_SERVERS && lease.routers.len() <= ROUTERS);
            prop_assert!((1..=32).contains(&lease.prefix));
        }
    }

    /// Flipping one byte of a good message never turns it into an address outside what a host can have.
    #[test]
    fn one_bad_byte(at in 0usize..300, value: u8) {
        let mut message = reply([10, 0, 2, 15], &plain(b"\x05"));
        if let Some(byte) = message.get_mut(at) {
            *byte = value;
        }
        if let Ok(Reply::Lease(_, lease)) = parse(&message, &IDENTITY) {
            prop_assert!(is_host(lease.address));
        }
    }
}
