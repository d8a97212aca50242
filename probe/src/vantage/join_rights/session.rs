//! LDAP requests, one after the other, and everything that answers them, within bounds.

use std::time::Duration;

use sekisho_checks::{
    vantage::join_rights::refused,
    wire::ldap::session::{Body, Reply, SIZE_LIMIT_EXCEEDED, SUCCESS, Search, bind_head, decode, search},
};
use sekisho_model::{CheckStatus, Facts};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{channel::Channel, credentials::Credentials, record::Record};

/// A request is answered within this time, or the check ends.
const ANSWER: Duration = Duration::from_secs(6);
/// All answers to one search have at most so many octets; with more the check ends.
const SEARCH_OCTETS: usize = 512 * 1024;
/// A search has at most so many messages beside its entries (references); with more the check ends.
const REFERENCES: usize = 64;

/// A conversation that ended before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The connection ended.
    #[error("the connection to the domain controller ended: {0}")]
    Closed(String),
    /// No answer in time.
    #[error("the domain controller gave no answer within {} s", ANSWER.as_secs())]
    Silent,
    /// Not LDAP, or not an answer to the question.
    #[error("the domain controller gave an answer that is not understood: {0}")]
    Strange(String),
    /// An answer without which nothing can be concluded is a refusal.
    #[error("the domain controller answers {0} to a question about {1}")]
    Refused(i64, &'static str),
    /// More than any honest answer.
    #[error("the domain controller gave more than any answer needs")]
    TooMuch,
}

impl Broken {
    /// The reason, as a fact.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Closed(_) => "connection-lost",
            Self::Silent => "timed-out",
            Self::Strange(_) => "strange-answer",
            Self::Refused(..) => "question-refused",
            Self::TooMuch => "too-long",
        }
    }
}

/// What a search found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) records: Vec<Record>,
    /// Result code, RFC 4511 A.1.
    pub(super) code: i64,
}

impl Found {
    /// The records, where the search came to its end or to its limit: then none means that there are none.
    pub(super) fn records(self, about: &'static str) -> Result<Vec<Record>, Broken> {
        match self.code {
            SUCCESS | SIZE_LIMIT_EXCEEDED => Ok(self.records),
            code => Err(Broken::Refused(code, about)),
        }
    }

    /// The only record; `None` if there is none, more than one, or an error.
    pub(super) fn single(mut self) -> Option<Record> {
        if self.records.len() == 1 { self.records.pop() } else { None }
    }
}

/// A conversation with a domain controller.
#[derive(Debug)]
pub(super) struct Session {
    channel: Channel,
    received: Vec<u8>,
    last: u32,
}

impl Session {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, received: Vec::new(), last: 1 }
    }

    /// Binds. `None`: as whom it was asked; else what the refusal comes to.
    pub(super) async fn bind(
        &mut self,
        credentials: &Credentials,
        domain: &str,
    ) -> Result<Option<(CheckStatus, Facts)>, Broken> {
        let id = self.next();
        let password = credentials.password().as_bytes();
        let head = bind_head(id, &credentials.bind_name(domain), password.len());
        // At once in one piece, and of the right size from the start: a vector that grows leaves its old octets behind.
        let mut message = Zeroizing::new(Vec::with_capacity(head.len() + password.len()));
        message.extend_from_slice(&head);
        message.extend_from_slice(password);
        self.channel.write(&message).await?;
        drop(message);
        let reply = self.read().await?;
        match answer(id, &reply)? {
            Body::Bound(outcome) if outcome.code == SUCCESS => Ok(None),
            Body::Bound(outcome) => Ok(Some(refused(outcome.code, outcome.message))),
            Body::Entry(_) | Body::Reference | Body::Done(_) | Body::Extended(_) | Body::Other(_) => {
                Err(Broken::Strange("not an answer to a bind".to_owned()))
            }
        }
    }

    /// Searches. References to other servers are not followed.
    pub(super) async fn search(&mut self, question: &Search<'_>) -> Result<Found, Broken> {
        let id = self.next();
        self.channel.write(&search(id, question)).await?;
        let entries = usize::try_from(question.entries).unwrap_or(usize::MAX);
        let (mut records, mut octets, mut references) = (Vec::new(), 0, 0);
        loop {
            let reply = self.read().await?;
            octets += reply.len();
            if octets > SEARCH_OCTETS {
                return Err(Broken::TooMuch);
            }
            match answer(id, &reply)? {
                // A server that does not keep to the limit of entries.
                Body::Entry(_) if records.len() >= entries => return Err(Broken::TooMuch),
                Body::Entry(entry) => records.push(Record::of(&entry)),
                Body::Reference if references >= REFERENCES => return Err(Broken::TooMuch),
                Body::Reference => references += 1,
                Body::Done(outcome) => return Ok(Found { records, code: outcome.code }),
                Body::Bound(_) | Body::Extended(_) | Body::Other(_) => {
                    return Err(Broken::Strange("not an answer to a search".to_owned()));
                }
            }
        }
    }

    fn next(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    async fn read(&mut self) -> Result<Vec<u8>, Broken> {
        timeout(ANSWER, self.channel.read(&mut self.received)).await.unwrap_or(Err(Broken::Silent))
    }
}

fn answer(id: u32, message: &[u8]) -> Result<Body<'_>, Broken> {
    let Reply { id: answered, body } = decode(message).map_err(|error| Broken::Strange(error.to_string()))?;
    // A notice of disconnection answers no request.
    if let Body::Extended(outcome) = &body {
        return Err(Broken::Closed(format!("it says so itself, with result code {}", outcome.code)));
    }
    if answered == i64::from(id) {
        Ok(body)
    } else {
        Err(Broken::Strange("an answer to another question".to_owned()))
    }
}
