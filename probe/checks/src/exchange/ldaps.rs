//! LDAP inside TLS. The TLS library runs without sockets: bytes in, bytes out.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, Error as TlsError};

use super::carrier::{MAX_INPUT, Stream};
use super::ldap::{RootDse, root_dse};
use super::report::Report;
use super::{Exchange, Expected, Progress};

mod trust;

/// Plaintext is read in pieces of this many octets.
const PIECE: usize = 4096;

struct Ldaps {
    tls: ClientConnection,
    ldap: Stream<RootDse>,
    /// The first octets of the peer, for a reply that is not TLS.
    beginning: Vec<u8>,
    taken: usize,
    verdict: Option<Progress>,
}

/// Over TCP; `None` if TLS cannot be set up at all.
pub(super) fn over_stream(expected: &Expected, global_catalog: bool) -> Option<Box<dyn Exchange>> {
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
    let tls = ClientConnection::new(Arc::new(config), name).ok()?;
    let ldap = root_dse(expected, global_catalog);
    Some(Box::new(Ldaps { tls, ldap, beginning: Vec::new(), taken: 0, verdict: None }))
}

impl Ldaps {
    /// Feeds TLS and reads what it decrypts, up to the first verdict.
    fn read(&mut self, mut bytes: &[u8]) -> Progress {
        while !bytes.is_empty() {
            match self.tls.read_tls(&mut bytes) {
                Ok(read) if read > 0 => {}
                Ok(_) | Err(_) => return self.report().wrong("tls-broken"),
            }
            if let Err(error) = self.tls.process_new_packets() {
                return self.failed(&error);
            }
            let progress = self.converse();
            if progress != Progress::Waiting {
                return progress;
            }
        }
        Progress::Waiting
    }

    /// The LDAP exchange inside, once the handshake is done.
    fn converse(&mut self) -> Progress {
        if self.tls.is_handshaking() {
            return Progress::Waiting;
        }
        let request = self.ldap.output();
        if self.tls.writer().write_all(&request).is_err() {
            return self.report().wrong("tls-broken");
        }
        let mut piece = [0; PIECE];
        // The reader says WouldBlock when there is no more plaintext yet.
        while let Ok(read) = self.tls.reader().read(&mut piece) {
            let plain = piece.get(..read).unwrap_or_default();
            if plain.is_empty() {
                break;
            }
            match self.ldap.input(plain) {
                Progress::Waiting => {}
                Progress::Proven(facts) => return Progress::Proven(self.joined(facts)),
                Progress::Wrong(facts) => return Progress::Wrong(self.joined(facts)),
            }
        }
        Progress::Waiting
    }

    fn joined(&self, facts: sekisho_model::Facts) -> sekisho_model::Facts {
        match self.report().proven() {
            Progress::Proven(mut joined) => {
                joined.extend(facts);
                joined
            }
            Progress::Waiting | Progress::Wrong(_) => facts,
        }
    }

    /// What is known of the TLS session so far.
    fn report(&self) -> Report {
        let mut report = Report::default();
        if let Some(version) =
            self.tls.protocol_version().and_then(|version| version.as_str().map(str::to_owned))
        {
            report = report.fact("tls-version", version.replacen("TLSv", "", 1).replace('_', "."));
        }
        if let Some(cipher) = self.tls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()) {
            report = report.fact("tls-cipher", cipher);
        }
        if let Some(certificate) = self.tls.peer_certificates().and_then(<[_]>::first) {
            report = report.fact("certificate-sha256", trust::sha256(certificate));
        }
        report
    }

    fn failed(&self, error: &TlsError) -> Progress {
        let report = self.report();
        if let TlsError::AlertReceived(alert) = error {
            let name = alert.as_str().map_or_else(|| u8::from(*alert).to_string(), kebab);
            return report.fact("tls-alert", name).proven();
        }
        if let TlsError::PeerIncompatible(why) = error {
            // It answered in TLS, in a version or with an algorithm that is too old. The name is the library's.
            return report.fact("tls-incompatible", kebab(&format!("{why:?}"))).proven();
        }
        let report = report.text("tls-error", &error.to_string());
        if self.tls.protocol_version().is_none() {
            report.reply(&self.beginning).wrong("not-tls")
        } else {
            report.wrong("tls-broken")
        }
    }
}

impl Exchange for Ldaps {
    fn output(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        // Writing to a vector cannot fail, and each call writes something while there is something.
        while self.tls.wants_write() && self.tls.write_tls(&mut out).is_ok_and(|written| written > 0) {}
        out
    }

    fn input(&mut self, bytes: &[u8]) -> Progress {
        if let Some(verdict) = &self.verdict {
            return verdict.clone();
        }
        let accepted = bytes.get(..MAX_INPUT.saturating_sub(self.taken)).unwrap_or(bytes);
        self.taken = self.taken.saturating_add(accepted.len());
        let missing = 32_usize.saturating_sub(self.beginning.len());
        self.beginning.extend(accepted.iter().take(missing));
        let mut progress = self.read(accepted);
        if progress == Progress::Waiting && accepted.len() < bytes.len() {
            progress = self.report().wrong("too-long");
        }
        if progress != Progress::Waiting {
            self.verdict = Some(progress.clone());
        }
        progress
    }
}

/// `HandshakeFailure` and `handshake_failure` to `handshake-failure`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for character in name.chars().take(64) {
        if character.is_ascii_uppercase() && !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        match character {
            '_' => out.push('-'),
            character if character.is_ascii_alphanumeric() => out.push(character.to_ascii_lowercase()),
            _ => {}
        }
    }
    out
}
