//! The TLS side of a connection, and what is known of it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection};

use sekisho_model::Facts;

use super::{Failure, certificate, failure, trust};
use crate::exchange::Expected;
use crate::exchange::report::Report;

/// This many of the peer's first octets are kept, for a reply that is not TLS.
const BEGINNING: usize = 32;

pub(in crate::exchange) struct Session {
    pub(super) connection: ClientConnection,
    expected: Expected,
    beginning: Vec<u8>,
}

impl Session {
    /// A session that has sent nothing; `None` if TLS cannot be set up at all.
    pub(in crate::exchange) fn new(expected: &Expected) -> Option<Self> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(trust::NoClock))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust::Anyone))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        // An address is never sent as a server name, so it stands for "none".
        let none = ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into());
        let name = expected.host.clone().and_then(|host| ServerName::try_from(host).ok()).unwrap_or(none);
        let connection = ClientConnection::new(Arc::new(config), name).ok()?;
        Some(Self { connection, expected: expected.clone(), beginning: Vec::new() })
    }

    /// Takes what TLS wants to send.
    pub(in crate::exchange) fn output(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        // Writing to a vector cannot fail, and each call writes something while there is something.
        while self.connection.wants_write()
            && self.connection.write_tls(&mut out).is_ok_and(|written| written > 0)
        {}
        out
    }

    /// Takes some of the bytes, and says whether the handshake is done.
    pub(in crate::exchange) fn feed(&mut self, bytes: &mut &[u8]) -> Result<bool, Failure> {
        let missing = BEGINNING.saturating_sub(self.beginning.len());
        self.beginning.extend(bytes.iter().take(missing));
        match self.connection.read_tls(bytes) {
            Ok(read) if read > 0 => {}
            Ok(_) | Err(_) => return Err(Failure { report: self.report(), wrong: Some("tls-broken") }),
        }
        match self.connection.process_new_packets() {
            Ok(_) => Ok(!self.connection.is_handshaking()),
            Err(error) => {
                let spoken = self.connection.protocol_version().is_some();
                Err(failure(&error, self.report(), spoken, &self.beginning))
            }
        }
    }

    /// What is known of the session so far.
    pub(in crate::exchange) fn report(&self) -> Report {
        self.report_for(&Facts::new())
    }

    /// The same, with the name that the server has given itself inside where none was expected.
    pub(in crate::exchange) fn report_for(&self, told: &Facts) -> Report {
        let mut report = Report::default();
        let version = self.connection.protocol_version();
        if let Some(version) = version.and_then(|version| version.as_str().map(str::to_owned)) {
            report = report.fact("tls-version", version.replacen("TLSv", "", 1).replace('_', "."));
        }
        let suite = self.connection.negotiated_cipher_suite();
        if let Some(cipher) = suite.and_then(|suite| suite.suite().as_str().map(str::to_owned)) {
            report = report.fact("tls-cipher", cipher);
        }
        match self.connection.peer_certificates().and_then(<[_]>::first) {
            Some(certificate) => certificate::facts(report, certificate, &self.expected.or_named_by(told)),
            None => report,
        }
    }
}
