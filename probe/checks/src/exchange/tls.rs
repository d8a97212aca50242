//! A conversation inside TLS. The TLS library runs without sockets: bytes in, bytes out.

use std::io::{Read, Write};

use rustls::Error as TlsError;

use super::carrier::MAX_INPUT;
use super::report::Report;
use super::{Exchange, Expected, Progress};
use crate::flow::Ending;

mod certificate;
mod session;
mod trust;

pub(super) use session::Session;

/// Plaintext is read in pieces of this many octets.
const PIECE: usize = 4096;

struct Inside {
    session: Session,
    inner: Box<dyn Exchange>,
    taken: usize,
    verdict: Option<Progress>,
}

/// Over TCP, with this conversation inside; `None` if TLS cannot be set up at all.
pub(super) fn over_stream(expected: &Expected, inner: Box<dyn Exchange>) -> Option<Box<dyn Exchange>> {
    let session = Session::new(expected)?;
    Some(Box::new(Inside { session, inner, taken: 0, verdict: None }))
}

impl Inside {
    /// Feeds TLS and reads what it decrypts, up to the first verdict.
    fn read(&mut self, mut bytes: &[u8]) -> Progress {
        while !bytes.is_empty() {
            let established = match self.session.feed(&mut bytes) {
                Ok(established) => established,
                Err(failure) => return failure.progress(),
            };
            let progress = if established { self.converse() } else { Progress::Waiting };
            if progress != Progress::Waiting {
                return progress;
            }
        }
        Progress::Waiting
    }

    /// The exchange inside, once the handshake is done.
    fn converse(&mut self) -> Progress {
        let mut piece = [0; PIECE];
        loop {
            let output = self.inner.output();
            if self.session.connection.writer().write_all(&output).is_err() {
                return self.session.report().wrong("tls-broken");
            }
            // The reader says WouldBlock when there is no more plaintext yet.
            let Ok(read) = self.session.connection.reader().read(&mut piece) else {
                return Progress::Waiting;
            };
            let plain = piece.get(..read).unwrap_or_default();
            if plain.is_empty() {
                return Progress::Waiting;
            }
            let progress = self.inner.input(plain);
            if progress != Progress::Waiting {
                return self.joined(progress);
            }
        }
    }

    /// The verdict of the exchange inside, with what is known of TLS.
    fn joined(&self, progress: Progress) -> Progress {
        let join = |facts| {
            let mut joined = self.session.report_for(&facts).facts();
            joined.extend(facts);
            joined
        };
        match progress {
            Progress::Waiting => Progress::Waiting,
            Progress::Proven(facts) => Progress::Proven(join(facts)),
            Progress::Wrong(facts) => Progress::Wrong(join(facts)),
        }
    }
}

impl Exchange for Inside {
    fn output(&mut self) -> Vec<u8> {
        self.session.output()
    }

    fn input(&mut self, bytes: &[u8]) -> Progress {
        if let Some(verdict) = &self.verdict {
            return verdict.clone();
        }
        let accepted = bytes.get(..MAX_INPUT.saturating_sub(self.taken)).unwrap_or(bytes);
        self.taken = self.taken.saturating_add(accepted.len());
        let mut progress = self.read(accepted);
        if progress == Progress::Waiting && accepted.len() < bytes.len() {
            progress = self.session.report().wrong("too-long");
        }
        if progress != Progress::Waiting {
            self.verdict = Some(progress.clone());
        }
        progress
    }

    fn is_proven(&self) -> bool {
        self.inner.is_proven()
    }

    /// Before the handshake is done nothing was said inside, and the end speaks for itself.
    fn ended(&mut self, ending: Ending) -> Option<Progress> {
        if self.verdict.is_none() {
            let ended = self.inner.ended(ending);
            self.verdict = ended.map(|progress| self.joined(progress));
        }
        self.verdict.clone()
    }
}

/// Why TLS went no further.
pub(super) struct Failure {
    /// What is known of TLS, and the error.
    pub(super) report: Report,
    /// The reason that the reply is wrong; `None` if the peer speaks TLS all the same, and refuses.
    pub(super) wrong: Option<&'static str>,
}

impl Failure {
    fn progress(self) -> Progress {
        match self.wrong {
            None => self.report.proven(),
            Some(reason) => self.report.wrong(reason),
        }
    }
}

/// What an error says of the peer.
fn failure(error: &TlsError, report: Report, spoken: bool, beginning: &[u8]) -> Failure {
    if let TlsError::AlertReceived(alert) = error {
        let name = alert.as_str().map_or_else(|| u8::from(*alert).to_string(), kebab);
        return Failure { report: report.fact("tls-alert", name), wrong: None };
    }
    if let TlsError::PeerIncompatible(why) = error {
        // It answered in TLS, in a version or with an algorithm that is too old. The name is the library's.
        return Failure { report: report.fact("tls-incompatible", kebab(&format!("{why:?}"))), wrong: None };
    }
    let report = report.text("tls-error", &error.to_string());
    if spoken {
        Failure { report, wrong: Some("tls-broken") }
    } else {
        Failure { report: report.reply(beginning), wrong: Some("not-tls") }
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
