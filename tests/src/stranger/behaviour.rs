//! How a stranger behaves, as data.

use std::time::Duration;

use sekisho_checks::exchange;
use sekisho_model::{Outcome, Protocol, Service, Transport};

/// A stranger.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// What a test calls it.
    pub name: String,
    /// What it says.
    pub say: Say,
    /// How it says that.
    pub how: How,
    /// What it does after that.
    pub then: Then,
    /// When it begins.
    pub when: When,
    /// On ports of TLS it shakes hands first, and behaves like this inside.
    pub inside_tls: bool,
    /// Who answers on port 135.
    pub mapper: Mapper,
    /// What a sound probe makes of it.
    pub expect: Expectation,
}

impl Behaviour {
    /// Answers each request as a domain controller does.
    #[must_use]
    pub fn sound(name: &str, expect: Expectation) -> Self {
        Self {
            name: name.to_owned(),
            say: Say::Valid,
            how: How::Whole,
            then: Then::Silence,
            when: When::Asked,
            inside_tls: true,
            mapper: Mapper::Honest(vec![49_664]),
            expect,
        }
    }

    /// The same words on every port, without TLS, and on the endpoint mapper's too.
    #[must_use]
    pub fn saying(name: &str, say: Say, then: Then, expect: Expectation) -> Self {
        Self { say, then, inside_tls: false, mapper: Mapper::Same, ..Self::sound(name, expect) }
    }
}

/// What a stranger says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// Nothing.
    Nothing,
    /// A valid reply.
    Valid,
    /// The n-th reply of the corpus for the service; they come round again.
    Corpus(usize),
    /// So many octets by chance.
    Garbage(usize),
    /// Zeros.
    Zeros(usize),
    /// The beginning of a reply that announces as much as its protocol can announce.
    Oversized,
    /// A reply that contains itself as deep as it fits.
    Nested,
    /// A valid reply of LDAP, whatever was asked.
    Ldap,
    /// A valid reply to another request.
    AnotherId,
    /// A rootDSE, and then agreement to StartTLS, and so many octets by chance.
    StartTls(usize),
    /// DNS: as many services as fit into a message, all of them at this address.
    Services,
    /// The same, and no word about the addresses of their hosts.
    LostServices,
}

/// How it says that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// At once.
    Whole,
    /// Only the beginning.
    Cut(Cut),
    /// An octet after the other, with this pause.
    Drip(Duration),
    /// Again and again, as fast as it goes.
    Endless,
}

/// Where the first message of a reply is cut: never behind its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// After so many octets.
    After(usize),
    /// In the middle.
    Half,
    /// Before its last octet.
    Last,
}

/// What it does after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing more: the connection stays.
    Silence,
    /// Closes the connection.
    Close,
    /// Resets it.
    Reset,
}

/// When it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// When the connection is there.
    Accepted,
    /// When the first octets of a request came.
    Asked,
    /// As soon, and it reads nothing at all.
    NeverReads,
}

/// Who answers on port 135.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapper {
    /// The stranger, as on the other ports.
    Same,
    /// An endpoint mapper that is sound, and maps every interface to these ports of the address that was asked.
    Honest(Vec<u16>),
    /// The same for this address.
    Elsewhere([u8; 4], Vec<u16>),
}

/// What a sound probe makes of a stranger: the outcomes that are right, by kind of service.
#[derive(Debug, Clone, Copy)]
pub struct Expectation {
    /// Over TCP.
    pub stream: &'static [Outcome],
    /// Over TLS.
    pub tls: &'static [Outcome],
    /// RPC interfaces.
    pub interface: &'static [Outcome],
    /// Over UDP. Where silence is right, a service whose silence proves nothing ends as `failed`.
    pub datagram: &'static [Outcome],
    /// Services that differ.
    pub except: &'static [(&'static str, &'static [Outcome])],
}

impl Expectation {
    /// Whether an outcome is right for a service.
    #[must_use]
    pub fn allows(&self, service: Service, outcome: Outcome) -> bool {
        if let Some((_, outcomes)) = self.except.iter().find(|(name, _)| *name == service.name()) {
            return outcomes.contains(&outcome);
        }
        let outcomes = match (service.protocol(), service.transport()) {
            (Protocol::Rpc(_), _) => self.interface,
            (Protocol::Ldaps | Protocol::WinrmTls, _) => self.tls,
            (_, Transport::Udp | Transport::Icmp) => self.datagram,
            (_, Transport::Tcp) => self.stream,
        };
        let silent = exchange::silence_proves_nothing(service) && outcomes.contains(&Outcome::Filtered);
        outcomes.contains(&outcome) || silent && outcome == Outcome::Failed
    }
}
