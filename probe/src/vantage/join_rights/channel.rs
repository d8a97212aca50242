//! A connection to a domain controller that nobody else can read, to one that is trusted.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{CertificateError, Error as TlsError};
use rustls_pki_types::ServerName;
use sekisho_checks::wire::ldap::{
    measure,
    session::{Body, SUCCESS, decode},
    starttls_request,
};
use sekisho_model::{Facts, Transport};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    super::{Means, Verdict},
    session::Broken,
    trust::{self, Pin, Trust},
};
use crate::runner::Target;

/// Time for a connection with all that seals it. The kernel sends a lost SYN again after one second and after three.
const CONNECT: Duration = Duration::from_millis(3_500);
/// Octets read at once, at least.
const READ: usize = 4_096;
/// A reply to StartTLS is no longer than this.
const START_TLS_REPLY: usize = 4_096;

/// How TLS begins, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    port: u16,
    by_request: bool,
}

impl Way {
    /// TLS from the first octet.
    pub(super) const fn tls(port: u16) -> Self {
        Self { port, by_request: false }
    }

    /// TLS after a request for it (RFC 4511 4.14).
    pub(super) const fn start_tls(port: u16) -> Self {
        Self { port, by_request: true }
    }
}

/// A connection inside TLS whose other side is trusted.
#[derive(Debug)]
pub(super) struct Channel {
    stream: TlsStream<TcpStream>,
    target: Target,
    way: Way,
    certificate: Option<Pin>,
}

/// Why there is none.
#[derive(Debug, Default)]
pub(super) struct NoChannel {
    /// What came of each way, in words.
    tried: Vec<String>,
    /// The first certificate that was not trusted.
    untrusted: Option<Pin>,
    /// The local scope forbade all.
    forbidden: bool,
}

impl fmt::Display for NoChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tried.is_empty() {
            return f.write_str("no domain controller is known");
        }
        f.write_str(&self.tried.join("; "))
    }
}

impl NoChannel {
    pub(super) fn in_words(&self) -> String {
        self.to_string()
    }

    /// Nothing was sent that is secret.
    pub(super) fn into_verdict(self) -> Verdict {
        let reason = match (&self.untrusted, self.forbidden) {
            (Some(_), _) => "certificate-not-trusted",
            (None, true) => "not-in-scope",
            (None, false) => "no-sealed-channel",
        };
        let mut detail = format!("the password was not sent: {self}");
        if self.untrusted.is_some() {
            detail.push_str("; name the authority with --ldap-ca, or pin the certificate with --ldap-pin");
        }
        while detail.len() > 1_000 {
            detail.pop();
        }
        let mut verdict = Verdict::unknown(reason, detail);
        if let Some(pin) = self.untrusted {
            verdict.facts.insert("certificate-sha256".to_owned(), pin.to_string().into());
        }
        verdict
    }
}

/// The first channel that can be had: target after target, way after way.
pub(super) async fn open(
    means: &Means,
    targets: &[&Target],
    ways: &[Way],
    trust: &Trust,
    domain: &str,
) -> Result<Channel, NoChannel> {
    let mut none = NoChannel::default();
    let mut forbidden = 0;
    for target in targets {
        for way in ways {
            let permit = match means.admit(target.address, Transport::Tcp, way.port).await {
                Ok(permit) => permit,
                Err(why) => {
                    forbidden += 1;
                    none.tried.push(format!("{} port {}: {why}", target.name(), way.port));
                    continue;
                }
            };
            let attempt = timeout(CONNECT, connect(target, *way, trust, domain)).await;
            drop(permit);
            match attempt.unwrap_or_else(|_| Err(Failure::plain("no answer"))) {
                Ok(channel) => return Ok(channel),
                Err(failure) => {
                    none.tried.push(format!("{} port {}: {}", target.name(), way.port, failure.words));
                    none.untrusted = none.untrusted.or(failure.untrusted);
                }
            }
        }
    }
    none.forbidden = forbidden > 0 && forbidden == none.tried.len();
    Err(none)
}

struct Failure {
    words: String,
    untrusted: Option<Pin>,
}

impl Failure {
    fn plain(words: impl Into<String>) -> Self {
        Self { words: words.into(), untrusted: None }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::plain(error.to_string())
    }
}

async fn connect(target: &Target, way: Way, trust: &Trust, domain: &str) -> Result<Channel, Failure> {
    let mut stream = TcpStream::connect(SocketAddr::new(target.address, way.port)).await?;
    stream.set_nodelay(true)?;
    if way.by_request {
        request_tls(&mut stream).await?;
    }
    let names = trust::names(target.host.as_deref(), domain, target.address);
    let (config, seen) = trust.config(names).map_err(|error| Failure::plain(error.to_string()))?;
    // What is sent in clear as the server's name; what is verified are the names above.
    let name = target.host.clone().and_then(|host| ServerName::try_from(host).ok());
    let name = name.unwrap_or_else(|| ServerName::IpAddress(target.address.into()));
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => {
            let certificate = seen.get().map(|(pin, _)| pin);
            Ok(Channel { stream, target: target.clone(), way, certificate })
        }
        Err(error) => Err(match seen.get() {
            Some((pin, Some(refused))) => Failure { words: in_words(&refused), untrusted: Some(pin) },
            Some((_, None)) | None => Failure::plain(format!("no TLS: {error}")),
        }),
    }
}

fn in_words(refused: &TlsError) -> String {
    if *refused == TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure) {
        "the certificate is not the one that is pinned".to_owned()
    } else {
        format!("the certificate is not trusted: {refused}")
    }
}

/// Asks for TLS. What comes after the reply and before TLS is not anybody's to send, so it ends the attempt.
async fn request_tls(stream: &mut TcpStream) -> Result<(), Failure> {
    stream.write_all(&starttls_request(1)).await?;
    let mut received = Vec::new();
    let reply =
        read_message(stream, &mut received).await.map_err(|broken| Failure::plain(broken.to_string()))?;
    if reply.len() > START_TLS_REPLY || !received.is_empty() {
        return Err(Failure::plain("a strange answer to StartTLS"));
    }
    match decode(&reply).map(|reply| reply.body) {
        Ok(Body::Extended(outcome)) if outcome.code == SUCCESS => Ok(()),
        Ok(Body::Extended(outcome)) => {
            Err(Failure::plain(format!("StartTLS is refused with {}", outcome.code)))
        }
        Ok(_) | Err(_) => Err(Failure::plain("the answer to StartTLS is not LDAP's")),
    }
}

/// Reads one message. `received` holds what came and was not taken yet: at most one message (64 KiB, or the check ends)
/// and one read more.
async fn read_message(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut Vec<u8>,
) -> Result<Vec<u8>, Broken> {
    loop {
        let length = measure(received).map_err(|error| Broken::Strange(error.to_string()))?;
        if let Some(length) = length.filter(|length| *length <= received.len()) {
            let rest = received.split_off(length);
            return Ok(std::mem::replace(received, rest));
        }
        received.reserve(READ);
        match stream.read_buf(received).await {
            Ok(0) => return Err(Broken::Closed("it was closed".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(Broken::Closed(error.to_string())),
        }
    }
}

impl Channel {
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn facts(&self) -> Facts {
        let sealed = if self.way.by_request { "starttls" } else { "ldaps" };
        let mut facts = Facts::new();
        facts.insert("dc".to_owned(), self.target.name().into());
        facts.insert("sealed-by".to_owned(), sealed.into());
        if let Some(pin) = self.certificate {
            facts.insert("certificate-sha256".to_owned(), pin.to_string().into());
        }
        facts
    }

    pub(super) async fn write(&mut self, message: &[u8]) -> Result<(), Broken> {
        let written = async {
            self.stream.write_all(message).await?;
            self.stream.flush().await
        };
        written.await.map_err(|error| Broken::Closed(error.to_string()))
    }

    pub(super) async fn read(&mut self, received: &mut Vec<u8>) -> Result<Vec<u8>, Broken> {
        read_message(&mut self.stream, received).await
    }
}
