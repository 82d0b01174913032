//! https origins against a real nginx: every kind of certificate, cipher suite and key agreement that is spoken, and
//! certificates as they go wrong: out of date, of another name, of nobody's root, of an authority that is none.
//! Needs `nginx` and `openssl`; without them the tests fail and say so.

// Helpers of tests panic too; clippy.toml only knows the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use discover::tls::{Clock, RootsError, Tls};
use discover::{FetchError, Origin, Proxy, Sink};
use nginx::Nginx;

#[path = "support/nginx.rs"]
mod nginx;

/// A certificate authority in a directory, whose certificates begin and end when a test wants.
struct Authority(PathBuf);

impl Authority {
    fn new(directory: &Path) -> Self {
        let authority = Self(directory.to_owned());
        fs::write(directory.join("index"), "").unwrap();
        fs::write(directory.join("serial"), "1000\n").unwrap();
        // Names of subjects repeat: the same server before and after a renewal.
        fs::write(directory.join("index.attr"), "unique_subject = no\n").unwrap();
        let config = "\
            [ca]\ndefault_ca = own\n\
            [own]\ndatabase = index\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\n\
            copy_extensions = copy\n\
            [any]\ncommonName = supplied\n\
            [authority]\nbasicConstraints = critical,CA:true\n\
            [server]\nbasicConstraints = CA:false\n";
        fs::write(directory.join("config"), config).unwrap();
        authority.request("root", None);
        authority.openssl(
            "x509 -req -in root.csr -signkey root.key -days 3650 -extfile config -extensions authority -out root.pem",
        );
        authority
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(&self.0)
            .output()
            .expect("openssl has to be installed");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn request(&self, name: &str, host: Option<&str>) {
        self.request_of_kind("ec -pkeyopt ec_paramgen_curve:P-256", name, host);
    }

    fn request_of_kind(&self, key: &str, name: &str, host: Option<&str>) {
        let extension = host.map(|host| format!(" -addext subjectAltName=DNS:{host}")).unwrap_or_default();
        self.openssl(&format!(
            "req -new -newkey {key} -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr{extension}"
        ));
    }

    /// A root with a key of this kind, which signs so, and a server's certificate with such a key below it.
    fn kind(&self, (name, key, signing): (&str, &str, &str)) {
        let root = format!("root-{name}");
        self.request_of_kind(key, &root, None);
        self.openssl(&format!(
            "x509 -req -in {root}.csr -signkey {root}.key -days 3650 -extfile config -extensions authority -out {root}.pem"
        ));
        self.request_of_kind(key, name, Some("localhost"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {root}.pem -CAkey {root}.key -set_serial 7 -days 3650 -copy_extensions copy -out {name}.pem{signing}"
        ));
    }

    /// A certificate that `issuer` signed; valid between the two times (`YYMMDDHHMMSSZ`).
    fn issue(&self, name: &str, issuer: &str, kind: &str, host: Option<&str>, times: [&str; 2]) {
        self.request(name, host);
        let [begin, end] = times;
        self.openssl(&format!(
            "ca -batch -notext -config config -extensions {kind} -cert {issuer}.pem -keyfile {issuer}.key -in {name}.csr -out {name}.pem -startdate {begin} -enddate {end}"
        ));
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.0.join(file)).unwrap()
    }
}

/// nginx with one server for each certificate, the same tree behind all of them.
struct Site {
    authority: Authority,
    ports: Vec<(&'static str, u16)>,
    // In this order: the program ends before its folder goes.
    _nginx: Nginx,
    directory: tempfile::TempDir,
}

const NOW: [&str; 2] = ["200101000000Z", "491231000000Z"];
const PAST: [&str; 2] = ["200101000000Z", "210101000000Z"];
const FUTURE: [&str; 2] = ["450101000000Z", "460101000000Z"];

/// The kinds of keys that servers have: a name, how openssl makes one, and what the signatures of certificates need besides.
const KINDS: [(&str, &str, &str); 7] = [
    ("p256", "ec -pkeyopt ec_paramgen_curve:P-256", " -sha256"),
    ("p384", "ec -pkeyopt ec_paramgen_curve:P-384", " -sha384"),
    ("p384-sha256", "ec -pkeyopt ec_paramgen_curve:P-384", " -sha256"),
    ("rsa2048", "rsa:2048", " -sha256"),
    ("rsa4096", "rsa:4096", " -sha512"),
    ("rsa-pss", "rsa:3072", " -sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"),
    ("ed25519", "ed25519", ""),
];

/// Servers that leave no choice: what nginx has to be told for each.
const SUITES: [(&str, &str); 4] = [
    ("aes128", "ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;"),
    ("aes256", "ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;"),
    ("chacha20", "ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;"),
    ("secp256r1", "ssl_ecdh_curve prime256v1;"),
];

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new(directory.path());
        let localhost = Some("localhost");
        authority.issue("valid", "root", "server", localhost, NOW);
        authority.issue("expired", "root", "server", localhost, PAST);
        authority.issue("early", "root", "server", localhost, FUTURE);
        authority.issue("other", "root", "server", Some("other.example"), NOW);
        authority.issue("expired-other", "root", "server", Some("other.example"), PAST);
        // A server that is valid today, below an authority that is not any more, or will only be.
        for (name, times) in [("past", PAST), ("future", FUTURE)] {
            authority.issue(name, "root", "authority", None, times);
        }
        authority.issue("below-past", "past", "server", localhost, NOW);
        authority.issue("never", "future", "server", localhost, PAST);
        for (leaf, above) in [("below-past", "past"), ("never", "future")] {
            let chain = [authority.read(&format!("{leaf}.pem")), authority.read(&format!("{above}.pem"))].concat();
            fs::write(directory.path().join(format!("{leaf}.pem")), chain).unwrap();
        }
        // A server's certificate is no authority's.
        authority.issue("below-server", "valid", "server", localhost, NOW);
        let chain = [authority.read("below-server.pem"), authority.read("valid.pem")].concat();
        fs::write(directory.path().join("below-server.pem"), chain).unwrap();
        // Somebody else's root of the same name.
        authority.openssl("x509 -req -in past.csr -signkey past.key -days 3650 -subj /CN=root -out forged.pem");
        fs::copy(directory.path().join("past.key"), directory.path().join("forged.key")).unwrap();
        authority.issue("below-forged", "forged", "server", localhost, NOW);
        for kind in KINDS {
            authority.kind(kind);
        }
        authority.request("self", localhost);
        authority.openssl("x509 -req -in self.csr -signkey self.key -days 3650 -copy_extensions copy -out self.pem");
        let names = [
            "valid",
            "expired",
            "early",
            "other",
            "expired-other",
            "below-past",
            "never",
            "self",
            "below-server",
            "below-forged",
            "plain",
            "hop",
            "tls12",
        ];
        let kinds = KINDS.into_iter().map(|(name, ..)| name);
        let names: Vec<_> = names.into_iter().chain(kinds).chain(SUITES.into_iter().map(|(name, _)| name)).collect();
        let pairs = |ports: &[u16]| names.iter().copied().zip(ports.iter().copied()).collect::<Vec<_>>();
        let (nginx, ports) = Nginx::start(directory.path(), names.len(), |ports| configuration(&pairs(ports)));
        Self { ports: pairs(&ports), authority, _nginx: nginx, directory }
    }

    fn port(&self, server: &str) -> u16 {
        self.ports.iter().find(|(name, _)| *name == server).unwrap().1
    }

    /// The origin with this certificate, asked under this clock by a client with the test's root.
    fn origin(&self, server: &str, clock: Clock) -> Origin {
        let tls = Tls::pinned(&self.authority.read("root.pem"), clock).unwrap();
        Origin::parse(&format!("https://localhost:{}/tree", self.port(server))).unwrap().with_tls(tls)
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.directory.path().join("www").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The configuration of nginx with these servers at these ports.
fn configuration(ports: &[(&str, u16)]) -> String {
    let port = |wanted: &str| ports.iter().find(|(name, _)| *name == wanted).unwrap().1;
    let mut servers = "access_log off; ssl_protocols TLSv1.2 TLSv1.3;\n".to_owned();
    for (name, at) in ports {
        let body = match *name {
            "plain" => format!(
                "listen 127.0.0.1:{at}; location /tree/ {{ root www; }} location /up/ {{ return 302 https://localhost:{}/tree/demo/x86_64/manifest.dsse.json; }}",
                port("valid")
            ),
            "hop" => format!(
                "listen 127.0.0.1:{at} ssl; ssl_certificate valid.pem; ssl_certificate_key valid.key; return 302 http://localhost:{}/tree/demo/x86_64/manifest.dsse.json;",
                port("plain")
            ),
            "tls12" => format!(
                "listen 127.0.0.1:{at} ssl; ssl_protocols TLSv1.2; ssl_certificate valid.pem; ssl_certificate_key valid.key;"
            ),
            name if SUITES.iter().any(|(suite, _)| *suite == name) => {
                let told = SUITES.iter().find(|(suite, _)| *suite == name).unwrap().1;
                format!(
                    "listen 127.0.0.1:{at} ssl; {told} ssl_certificate valid.pem; ssl_certificate_key valid.key; location /tree/ {{ root www; }}"
                )
            }
            _ => format!(
                "listen 127.0.0.1:{at} ssl; ssl_certificate {name}.pem; ssl_certificate_key {name}.key; location /tree/ {{ root www; }}"
            ),
        };
        writeln!(servers, "server {{ {body} }}").unwrap();
    }
    servers
}

/// One site for all tests that run at the same time; it ends with the last of them.
fn site() -> Arc<Site> {
    static SITE: Mutex<Weak<Site>> = Mutex::new(Weak::new());
    let mut shared = SITE.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let site = Arc::new(Site::new());
        site.put("tree/demo/x86_64/manifest.dsse.json", b"an envelope");
        *shared = Arc::downgrade(&site);
        site
    })
}

fn ask(origin: &Origin) -> Result<Vec<u8>, FetchError> {
    origin.envelope("demo", "x86_64", Instant::now() + Duration::from_secs(10))
}

fn refusal(origin: &Origin) -> String {
    let error = ask(origin).expect_err("accepted");
    assert_eq!(error.kind(), "tls", "{error}");
    error.to_string()
}

#[test]
fn a_valid_certificate_is_accepted_under_any_clock() {
    let site = site();
    for clock in [Clock::Trusted, Clock::NotTrusted] {
        assert_eq!(ask(&site.origin("valid", clock)).unwrap(), b"an envelope", "{clock:?}");
    }
}

#[test]
fn dates_count_only_while_the_clock_does() {
    let site = site();
    for (server, wanted) in [("expired", "expired"), ("early", "becomes valid in"), ("below-past", "expired")] {
        let message = refusal(&site.origin(server, Clock::Trusted));
        assert!(message.contains(wanted) && message.contains("clock"), "{server}: {message}");
        assert_eq!(ask(&site.origin(server, Clock::NotTrusted)).unwrap(), b"an envelope", "{server}");
    }
}

#[test]
fn certificates_that_were_never_valid_together_are_no_chain() {
    let site = site();
    for clock in [Clock::Trusted, Clock::NotTrusted] {
        refusal(&site.origin("never", clock));
    }
}

#[test]
fn the_name_counts_under_any_clock() {
    let site = site();
    for clock in [Clock::Trusted, Clock::NotTrusted] {
        let message = refusal(&site.origin("other", clock));
        assert!(message.contains("other.example") && message.contains("wanted localhost"), "{message}");
    }
    // Letting a date go does not let the name go with it.
    let message = refusal(&site.origin("expired-other", Clock::NotTrusted));
    assert!(message.contains("wanted localhost"), "{message}");
}

#[test]
fn the_root_counts_under_any_clock() {
    let site = site();
    for clock in [Clock::Trusted, Clock::NotTrusted] {
        for server in ["valid", "expired", "self"] {
            let origin = site.origin(server, clock).with_tls(Tls::new(clock));
            let message = refusal(&origin);
            let of_root = message.contains("no root that counts") && message.contains("tls_roots");
            // Of a certificate that is out of date too, that is said first.
            assert!(of_root || (server, clock) == ("expired", Clock::Trusted), "{server}: {message}");
        }
        refusal(&site.origin("self", clock));
    }
}

#[test]
fn the_certificate_of_a_single_server_can_be_pinned() {
    let site = site();
    let tls = Tls::pinned(&site.authority.read("self.pem"), Clock::Trusted).unwrap();
    let origin = site.origin("self", Clock::Trusted).with_tls(tls.clone());
    assert_eq!(ask(&origin).unwrap(), b"an envelope");
    refusal(&site.origin("valid", Clock::Trusted).with_tls(tls));
}

#[test]
fn roots_are_read_as_pem_or_der_and_nothing_else() {
    let site = site();
    let pem = site.authority.read("root.pem");
    site.authority.openssl("x509 -in root.pem -outform der -out root.der");
    let der = Tls::pinned(&site.authority.read("root.der"), Clock::Trusted).unwrap();
    ask(&site.origin("valid", Clock::Trusted).with_tls(der)).unwrap();
    for wrong in
        [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &pem[..100], b"\x30\x03abc"]
    {
        let error = Tls::pinned(wrong, Clock::Trusted).unwrap_err();
        assert!(matches!(&error, RootsError::Form { .. }), "{error}");
    }
    let error = Tls::pinned(&vec![b'\n'; 70_000], Clock::Trusted).unwrap_err();
    assert_eq!(error, RootsError::TooLarge { seen: 70_000, wanted: 65_536 });
}

#[test]
fn a_redirect_goes_up_to_https_and_never_down() {
    let site = site();
    let tls = Tls::pinned(&site.authority.read("root.pem"), Clock::Trusted).unwrap();
    let up = Origin::parse(&format!("http://localhost:{}/up", site.port("plain"))).unwrap().with_tls(tls);
    assert_eq!(ask(&up).unwrap(), b"an envelope");
    let error = ask(&site.origin("hop", Clock::Trusted)).unwrap_err();
    assert_eq!(error.kind(), "redirect");
    assert!(error.to_string().contains("from https to http"), "{error}");
}

#[test]
fn every_kind_of_certificate_proves_its_server_and_no_other() {
    let site = site();
    for (kind, ..) in KINDS {
        let tls = Tls::pinned(&site.authority.read(&format!("root-{kind}.pem")), Clock::Trusted).unwrap();
        let origin = site.origin(kind, Clock::Trusted).with_tls(tls);
        assert_eq!(ask(&origin).unwrap_or_else(|error| panic!("{kind}: {error}")), b"an envelope");
        // Below another root it is refused, so that somebody looked.
        refusal(&site.origin(kind, Clock::Trusted));
    }
}

/// Bytes that arrive.
struct Kept(Vec<u8>, Box<[u8]>);

impl Sink for Kept {
    fn space(&mut self) -> &mut [u8] {
        &mut self.1
    }

    fn filled(&mut self, n: usize) {
        self.0.extend_from_slice(&self.1[..n]);
    }

    fn position(&self) -> u64 {
        self.0.len() as u64
    }
}

#[test]
fn a_blob_comes_whole_through_every_suite_and_key_agreement() {
    let site = site();
    let hex = "ab".repeat(32);
    // Many records, no two alike, and a last one of its own length.
    let bytes: Vec<u8> = (0..700_001_u32).flat_map(u32::to_le_bytes).collect();
    site.put(&format!("tree/blobs/sha256/{hex}"), &bytes);
    for (suite, _) in SUITES {
        let mut sink = Kept(Vec::new(), vec![0; 100_000].into());
        let deadline = Instant::now() + Duration::from_mins(1);
        let origin = site.origin(suite, Clock::Trusted);
        origin
            .blob(&hex, bytes.len() as u64, u64::MAX, &mut sink, deadline, &mut |_| ())
            .unwrap_or_else(|error| panic!("{suite}: {error}"));
        assert!(sink.0 == bytes, "{suite}");
    }
}

#[test]
fn an_authority_has_to_be_one() {
    let site = site();
    for server in ["below-server", "below-forged"] {
        for clock in [Clock::Trusted, Clock::NotTrusted] {
            let message = refusal(&site.origin(server, clock));
            assert!(message.contains("certificate"), "{server}: {message}");
        }
    }
}

#[test]
fn a_server_without_tls_1_3_is_told_what_to_do() {
    let site = site();
    let message = refusal(&site.origin("tls12", Clock::Trusted));
    assert!(message.contains("no TLS 1.3") && message.contains("ssl_protocols"), "{message}");
}

#[test]
fn a_server_that_does_not_speak_tls_is_named() {
    let site = site();
    let plain = Origin::parse(&format!("https://localhost:{}/tree", site.port("plain"))).unwrap();
    let message = refusal(&plain);
    assert!(message.contains("TLS failed"), "{message}");
}

/// How long a server that says nothing is waited for, if no deadline ends it (discover's `Limits`).
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn silence_in_a_handshake_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = Origin::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let begin = Instant::now();
    let error = origin.envelope("demo", "x86_64", begin + Duration::from_millis(500)).unwrap_err();
    assert_eq!(error.kind(), "timeout", "{error}");
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
}

/// Each step of connecting has the time that is left, not as much again.
#[test]
fn a_slow_proxy_before_a_silent_server_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let answers = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _ = stream.read(&mut [0; 2000]).unwrap();
        thread::sleep(Duration::from_secs(4));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        // The greeting, then the end of the connection.
        while stream.read(&mut [0; 2000]).is_ok_and(|count| count > 0) {}
    });
    let origin = Origin::parse("https://origin.invalid").unwrap().through(&proxy);
    let begin = Instant::now();
    let error = origin.envelope("demo", "x86_64", begin + Duration::from_secs(5)).unwrap_err();
    assert_eq!(error.kind(), "timeout", "{error}");
    // As much again would be 9 s.
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    answers.join().unwrap();
}
