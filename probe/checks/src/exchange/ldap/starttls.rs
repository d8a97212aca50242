//! LDAP, and then StartTLS on the same connection (RFC 4511 4.14). The rootDSE is the proof; StartTLS only adds facts.

use sekisho_model::Facts;

use super::{FRAMING, RootDse, Whole, root_dse};
use crate::exchange::carrier::{Dialogue, MAX_INPUT, Stop, Stream};
use crate::exchange::report::Report;
use crate::exchange::tls::Session;
use crate::exchange::{Exchange, Expected, Progress};
use crate::flow::Ending;
use crate::wire::Error;
use crate::wire::ldap::{self, Operation, Outcome};

/// LDAP message id of the extended request.
const ID: u32 = 2;
/// Result code `unavailable`, RFC 4511 appendix A: Windows without a usable certificate.
const UNAVAILABLE: i64 = 52;
/// What the names of facts of TLS begin with here.
const PREFIX: &str = "starttls-";

struct StartTls {
    expected: Expected,
    /// The facts of the rootDSE, once the read is over.
    known: Facts,
    stage: Stage,
    verdict: Option<Progress>,
}

/// Each stage goes on with the octets that the one before has left, and is bounded by itself.
enum Stage {
    Reading(Box<Stream<RootDse>>),
    Asking(Box<Stream<Upgrade>>),
    Securing { session: Box<Session>, taken: usize },
}

/// Over TCP, on the port of a domain.
pub(in crate::exchange) fn over_stream(expected: &Expected) -> Box<dyn Exchange> {
    let stage = Stage::Reading(Box::new(root_dse(expected, false, Whole::Yes)));
    Box::new(StartTls { expected: expected.clone(), known: Facts::new(), stage, verdict: None })
}

impl StartTls {
    fn read(&mut self, bytes: &[u8]) -> Progress {
        match &mut self.stage {
            Stage::Reading(stream) => match stream.input(bytes) {
                // A refusal is a proof without an entry; the server may be about to hang up.
                Progress::Proven(facts) if stream.is_proven() => {
                    let rest = stream.rest();
                    self.known = facts;
                    let asking = Stream::new(ldap::starttls_request(ID), FRAMING, Upgrade { agreed: false });
                    self.stage = Stage::Asking(Box::new(asking));
                    self.read(&rest)
                }
                progress @ (Progress::Waiting | Progress::Proven(_) | Progress::Wrong(_)) => progress,
            },
            Stage::Asking(stream) => match stream.input(bytes) {
                Progress::Proven(_) if stream.dialogue().agreed => {
                    let rest = stream.rest();
                    self.secure(&rest)
                }
                Progress::Proven(facts) => self.proven(facts),
                progress @ (Progress::Waiting | Progress::Wrong(_)) => progress,
            },
            Stage::Securing { .. } => self.shake_hands(bytes),
        }
    }

    /// The server agreed: what comes next is TLS.
    fn secure(&mut self, rest: &[u8]) -> Progress {
        let Some(session) = Session::new(&self.expected.or_named_by(&self.known)) else {
            return self.proven(Facts::new());
        };
        self.stage = Stage::Securing { session: Box::new(session), taken: 0 };
        self.shake_hands(rest)
    }

    fn shake_hands(&mut self, bytes: &[u8]) -> Progress {
        let Stage::Securing { session, taken } = &mut self.stage else { return Progress::Waiting };
        let mut accepted = bytes.get(..MAX_INPUT.saturating_sub(*taken)).unwrap_or(bytes);
        *taken = taken.saturating_add(accepted.len());
        let too_long = accepted.len() < bytes.len();
        while !accepted.is_empty() {
            let (report, word) = match session.feed(&mut accepted) {
                Ok(false) => continue,
                Ok(true) => (session.report(), "ok"),
                Err(failure) if failure.wrong.is_none() => (failure.report, "refused"),
                Err(failure) => (failure.report, Stop::NotUnderstood.word()),
            };
            let facts = report.under(PREFIX).fact("starttls", word).facts();
            return self.proven(facts);
        }
        if too_long { self.proven(stopped(Stop::TooLong)) } else { Progress::Waiting }
    }

    /// The rootDSE, and these facts besides.
    fn proven(&self, facts: Facts) -> Progress {
        let mut known = self.known.clone();
        known.extend(facts);
        Progress::Proven(known)
    }
}

fn stopped(stop: Stop) -> Facts {
    Report::default().fact("starttls", stop.word()).facts()
}

impl Exchange for StartTls {
    fn output(&mut self) -> Vec<u8> {
        match &mut self.stage {
            Stage::Reading(stream) => stream.output(),
            Stage::Asking(stream) => stream.output(),
            Stage::Securing { session, .. } => session.output(),
        }
    }

    fn input(&mut self, bytes: &[u8]) -> Progress {
        if self.verdict.is_none() {
            let progress = self.read(bytes);
            if progress == Progress::Waiting {
                return progress;
            }
            self.verdict = Some(progress);
        }
        self.verdict.clone().unwrap_or(Progress::Waiting)
    }

    fn is_proven(&self) -> bool {
        match &self.stage {
            Stage::Reading(stream) => stream.is_proven(),
            Stage::Asking(_) | Stage::Securing { .. } => true,
        }
    }

    fn ended(&mut self, ending: Ending) -> Option<Progress> {
        if self.verdict.is_none() {
            self.verdict = match &mut self.stage {
                Stage::Reading(stream) => stream.ended(ending),
                Stage::Asking(_) | Stage::Securing { .. } => Some(self.proven(stopped(Stop::Ended(ending)))),
            };
        }
        self.verdict.clone()
    }
}

/// The extended request, and its response.
struct Upgrade {
    agreed: bool,
}

impl Dialogue for Upgrade {
    const PROTOCOL: &'static str = "ldap";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let message = ldap::decode(message)?;
        Ok(match message.operation {
            Operation::Extended(outcome) => {
                let answers = message.id == i64::from(ID);
                self.agreed = answers && outcome.code == 0;
                answer(&outcome, answers).proven()
            }
            // What is left of the read.
            Operation::Entry(_) | Operation::Done(_) | Operation::Other(_) => Progress::Waiting,
        })
    }

    fn is_proven(&self) -> bool {
        true
    }

    fn stopped(&mut self, stop: Stop) -> Option<Progress> {
        Some(Progress::Proven(stopped(stop)))
    }
}

/// A notice of disconnection answers no request, and its code is not about StartTLS.
fn answer(outcome: &Outcome<'_>, answers: bool) -> Report {
    let report = Report::default();
    if answers && outcome.code == UNAVAILABLE {
        return report.fact("starttls", "unavailable");
    }
    report.fact("starttls", "refused").fact("starttls-code", outcome.code)
}
