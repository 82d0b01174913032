//! Encrypted connections: which roots count, and what a wrong clock changes.
//!
//! TLS hides what is fetched and from where; it proves nothing about a release, whose signature does. While the machine's
//! clock is not trusted the dates of certificates say nothing and are not looked at: names and chains always are.

mod provider;
mod signature;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, PeerIncompatible,
    RootCertStore, SignatureScheme,
};

use crate::Limits;

/// How often the dates of a chain are looked at again: each time one certificate's bound becomes the time that is tried.
const MOST_DATES: usize = 8;

/// How the servers of https origins have to prove themselves.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The roots that count; those of Mozilla's programme if none are given.
    pinned: Option<Arc<RootCertStore>>,
    clock: Clock,
}

/// Whether the machine's clock says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Certificates that are expired, or not valid yet, are refused.
    Trusted,
    /// The dates of certificates are ignored.
    NotTrusted,
}

/// Why a file of roots cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// More than any list of roots needs.
    #[error("the pinned roots have {seen} bytes, wanted at most {wanted}")]
    TooLarge {
        /// Bytes of the text.
        seen: usize,
        /// The limit.
        wanted: usize,
    },
    /// Text that is no certificate, or none at all.
    #[error("the pinned roots cannot be read: {reason}; wanted PEM (BEGIN CERTIFICATE) or one certificate in DER")]
    Form {
        /// What was wrong.
        reason: String,
    },
}

impl Default for Tls {
    fn default() -> Self {
        Self { pinned: None, clock: Clock::Trusted }
    }
}

impl Tls {
    /// The built-in roots, under this clock.
    pub fn new(clock: Clock) -> Self {
        Self { pinned: None, clock }
    }

    /// Only these roots: PEM with one or more certificates, or a single one in DER. A server's own self-signed certificate
    /// may be one, unless it is marked as an authority's.
    pub fn pinned(roots: &[u8], clock: Clock) -> Result<Self, RootsError> {
        let most = Limits::default().roots_bytes;
        if roots.len() > most {
            return Err(RootsError::TooLarge { seen: roots.len(), wanted: most });
        }
        let form = |reason: String| RootsError::Form { reason };
        let certificates: Vec<CertificateDer<'_>> = if roots.starts_with(&[0x30]) {
            vec![CertificateDer::from(roots)]
        } else {
            CertificateDer::pem_slice_iter(roots).collect::<Result<_, _>>().map_err(|error| form(error.to_string()))?
        };
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store.add(certificate).map_err(|error| form(error.to_string()))?;
        }
        if store.is_empty() {
            return Err(form("there is no certificate in them".to_owned()));
        }
        Ok(Self { pinned: Some(Arc::new(store)), clock })
    }

    /// The same roots, under this clock.
    #[must_use]
    pub fn under(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    fn roots(&self) -> Arc<RootCertStore> {
        self.pinned
            .clone()
            .unwrap_or_else(|| Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }))
    }

    /// Agrees on keys with the server at the other end of `stream`, which has to be `host`.
    pub(crate) fn greet(&self, stream: &TcpStream, host: &str, limit: Duration) -> io::Result<Secret> {
        let provider = Arc::new(provider::provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(self.roots(), provider.clone()).build();
        let verifier = Verifier { webpki: webpki.map_err(io::Error::other)?, clock: self.clock };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        // Each connection serves one request, and tickets let a server recognise a machine.
        config.resumption = rustls::client::Resumption::disabled();
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut secret = Secret(Box::new(connection));
        let mut timed = Timed { stream, until: Instant::now() + limit };
        while secret.0.is_handshaking() {
            secret.0.complete_io(&mut timed)?;
        }
        Ok(secret)
    }
}

/// The keys of one connection.
#[derive(Debug)]
pub(crate) struct Secret(Box<ClientConnection>);

impl Secret {
    /// Sends all of `bytes` within `limit`.
    pub(crate) fn send(&mut self, stream: &TcpStream, bytes: &[u8], limit: Duration) -> io::Result<()> {
        let mut timed = Timed { stream, until: Instant::now() + limit };
        let mut stream = rustls::Stream::new(&mut *self.0, &mut timed);
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Receives some bytes within `limit`; 0 if the server has said that nothing follows.
    pub(crate) fn receive(&mut self, stream: &TcpStream, space: &mut [u8], limit: Duration) -> io::Result<usize> {
        let mut timed = Timed { stream, until: Instant::now() + limit };
        rustls::Stream::new(&mut *self.0, &mut timed).read(space)
    }
}

/// A socket with one limit for all reads and writes together: a record that comes byte by byte has no more time.
struct Timed<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(space)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The usual checks of a certificate, in which the dates count only if the clock does.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    clock: Clock,
}

impl ServerCertVerifier for Verifier {
    /// Without a trusted clock the whole check is repeated at a time that suits the certificate which was refused for its
    /// date, so that nothing but dates is ever let go. A chain whose certificates were never valid at one time is refused.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let check = |time| self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, time);
        let mut outcome = check(now);
        if self.clock == Clock::NotTrusted {
            for _ in 0..MOST_DATES {
                let time = match &outcome {
                    Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => *not_after,
                    Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
                        *not_before
                    }
                    _ => break,
                };
                outcome = check(time);
            }
        }
        outcome
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// What a server's certificate or its TLS was refused for, in words that say what helps.
#[derive(Debug)]
pub(crate) struct TlsFailed(Error);

impl TlsFailed {
    /// Finds it in what a socket said.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Error>().cloned().map(Self)
    }
}

impl fmt::Display for TlsFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match &self.0 {
            Error::InvalidCertificate(reason) => reason,
            Error::AlertReceived(AlertDescription::ProtocolVersion)
            | Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => {
                return f.write_str(
                    "it has no TLS 1.3, which is the only version that is spoken here; switch it on (nginx before 1.23.4: ssl_protocols TLSv1.2 TLSv1.3)",
                );
            }
            other => return write!(f, "TLS failed: {other}"),
        };
        let days = |from: UnixTime, to: UnixTime| to.as_secs().saturating_sub(from.as_secs()) / 86400;
        match reason {
            CertificateError::ExpiredContext { time, not_after } => write!(
                f,
                "its certificate expired {} days ago by this machine's clock; renew it, or set the clock",
                days(*not_after, *time)
            ),
            CertificateError::NotValidYetContext { time, not_before } => write!(
                f,
                "its certificate becomes valid in {} days by this machine's clock; set the clock",
                days(*time, *not_before)
            ),
            CertificateError::NotValidForNameContext { expected, presented } => {
                write!(f, "its certificate is for {}, wanted {}", presented.join(", "), expected.to_str())
            }
            CertificateError::UnknownIssuer => {
                f.write_str("its certificate is signed by no root that counts here; tls_roots pins another root")
            }
            other => write!(f, "its certificate is refused: {other}"),
        }
    }
}

impl std::error::Error for TlsFailed {}
