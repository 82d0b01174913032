use super::*;
use crate::share::request;
use crate::share::shelf::tests::{PIECE, content, shelf};

/// A catalogue with a blob of which the last two of three pieces are proved, and the blob's name.
fn catalogue(proof: Option<&[u8]>) -> (Catalogue, String, Vec<u8>) {
    let content = content();
    let (shelf, _) = shelf(&content, &[1, 2]);
    let hex = verify::Sha256Digest::of(&content).to_string();
    let (channel, arch, proof) = ("demo".to_owned(), "x86_64".to_owned(), proof.map(<[u8]>::to_vec));
    let catalogue = Catalogue { channel, arch, envelope: b"{an envelope}".to_vec(), proof, shelf: Arc::new(shelf) };
    (catalogue, hex, content)
}

/// Status line with the fields, and the body.
fn get(catalogue: &Catalogue, path: &str, fields: &str) -> (String, Vec<u8>) {
    ask(catalogue, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
}

fn ask(catalogue: &Catalogue, request: &str) -> (String, Vec<u8>) {
    let request = request::parse(request.as_bytes()).unwrap();
    let answer = catalogue.answer(request.as_ref().map_err(|refused| *refused));
    let end = answer.head.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let mut body = answer.head[end..].to_vec();
    if let Some((reader, range)) = answer.blob {
        assert!(body.is_empty());
        body.resize(usize::try_from(range.end - range.start).unwrap(), 0);
        assert_eq!(reader.read(&mut body, range.start).unwrap(), body.len());
    }
    let head = String::from_utf8(answer.head[..end].to_vec()).unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {} ", answer.status)));
    (head, body)
}

const FILE: &str = "Content-Type: application/octet-stream\r\nConnection: close\r\n\r\n";

#[test]
fn the_envelope_and_its_proof_are_given_as_they_came() {
    let (catalogue, ..) = catalogue(Some(b"version=2"));
    let (head, body) = get(&catalogue, "/demo/x86_64/manifest.dsse.json", "");
    assert_eq!((head, &*body), (format!("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n{FILE}"), &b"{an envelope}"[..]));
    assert_eq!(get(&catalogue, "/demo/x86_64/manifest.sigsum-proof", "").1, b"version=2");
    let (without, ..) = self::catalogue(None);
    assert!(get(&without, "/demo/x86_64/manifest.sigsum-proof", "").0.starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[test]
fn the_state_of_a_blob_is_one_byte_for_each_piece() {
    let (catalogue, hex, _) = catalogue(None);
    assert_eq!(
        get(&catalogue, &format!("/share/{hex}"), ""),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n{FILE}"), b"022".to_vec())
    );
}

#[test]
fn a_part_is_given_if_all_of_it_is_proved() {
    let (catalogue, hex, content) = catalogue(None);
    let part = |range: &str| get(&catalogue, &format!("/blobs/sha256/{hex}"), &format!("Range: {range}\r\n"));
    let size = content.len();
    let (head, body) = part(&format!("bytes={PIECE}-"));
    let fields = format!("Content-Range: bytes {PIECE}-{}/{size}\r\n", size - 1);
    let wanted = format!("HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n{FILE}", size - PIECE);
    assert_eq!(head, wanted.replace("Connection", &format!("{fields}Connection")));
    assert!(body == content[PIECE..]);
    assert!(part("bytes=-100").1 == content[size - 100..]);
    assert!(part(&format!("bytes={}-{}", PIECE + 7, PIECE + 9)).1 == content[PIECE + 7..PIECE + 10]);
    for unproved in
        ["bytes=0-", "bytes=0-0", &format!("bytes={}-{PIECE}", PIECE - 1), "bytes=-99999999", "bytes=0-1,2-3"]
    {
        let (head, body) = part(unproved);
        assert_eq!((head.lines().next(), body.len()), (Some("HTTP/1.1 404 Not Found"), 0), "{unproved}");
    }
    let (head, _) = part(&format!("bytes={size}-"));
    assert!(
        head.starts_with("HTTP/1.1 416 ") && head.contains(&format!("Content-Range: bytes */{size}\r\n")),
        "{head}"
    );
}

#[test]
fn a_blob_is_given_whole_once_it_is_whole() {
    let (catalogue, _, content) = catalogue(None);
    let (shelf, _) = shelf(&content, &[0, 1, 2]);
    let whole = Catalogue { shelf: Arc::new(shelf), ..catalogue };
    let hex = verify::Sha256Digest::of(&content);
    let (head, body) = get(&whole, &format!("/blobs/sha256/{hex}"), "");
    assert_eq!(head, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{FILE}", content.len()));
    assert!(body == content);
    let (head_only, nothing) = ask(&whole, &format!("HEAD /blobs/sha256/{hex} HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!((head_only, nothing.len()), (head, 0));
    let (documents, nothing) = ask(&whole, "HEAD /demo/x86_64/manifest.dsse.json HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(documents.contains("Content-Length: 13\r\n") && nothing.is_empty());
}

#[test]
fn there_is_nothing_else() {
    let (catalogue, hex, _) = catalogue(None);
    let other = "0".repeat(64);
    for path in [
        "/",
        "*",
        "/demo",
        "/demo/x86_64/",
        "/demo/x86_64/manifest.dsse.json?x",
        "/demo/aarch64/manifest.dsse.json",
        "//demo/x86_64/manifest.dsse.json",
        "/demo/x86_64/../x86_64/manifest.dsse.json",
        "/blobs/sha256/",
        "/share/",
        "/trust/2.dsse.json",
        "/etc/passwd",
        "http://h/demo/x86_64/manifest.dsse.json",
        &format!("/share/{other}"),
        &format!("/blobs/sha256/{other}"),
        &format!("/blobs/sha256/{}", hex.to_uppercase()),
        &format!("/blobs/{hex}"),
        &format!("/share/{hex}/"),
        &format!("/share/%{hex}"),
    ] {
        assert_eq!(
            get(&catalogue, path, ""),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(), Vec::new()),
            "{path}"
        );
    }
}

#[test]
fn what_was_no_request_for_a_file_is_told_so() {
    let (catalogue, ..) = catalogue(None);
    for (request, status) in [
        ("POST / HTTP/1.1\r\nHost: h\r\n\r\n", "405 Method Not Allowed\r\nContent-Length: 0\r\nAllow: GET, HEAD"),
        ("what is this\r\n\r\n", "400 Bad Request\r\nContent-Length: 0"),
        (&format!("GET /{}", "a".repeat(5000)), "431 Request Header Fields Too Large\r\nContent-Length: 0"),
    ] {
        let (head, body) = ask(&catalogue, request);
        assert_eq!((head, body.len()), (format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n"), 0));
    }
}
