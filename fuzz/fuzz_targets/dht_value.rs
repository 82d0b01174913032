//! What anybody with the locator key, or a node that lies, may put into the DHT: it is a list of printable URLs that is written
//! again as the same bytes, or it is refused.

#![no_main]

use discover::dht::{VALUE_BYTES, urls_of, value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(urls) = urls_of(bytes) else { return };
    assert!(bytes.len() <= VALUE_BYTES && (1..=8).contains(&urls.len()));
    assert!(urls.iter().all(|url| url.bytes().all(|byte| byte.is_ascii_graphic())));
    // Each list has one form only.
    let urls: Vec<String> = urls.into_iter().map(str::to_owned).collect();
    assert_eq!(value(&urls).expect("what is read can be written"), bytes);
});
