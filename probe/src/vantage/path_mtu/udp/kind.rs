//! What is sent and asked for, one kind of datagrams after the other.

use std::{net::IpAddr, time::Duration};

use sekisho_checks::{
    vantage::path_mtu::{Passage, Sizes, choose, root_dse, sizes},
    wire::ldap,
};

use super::super::{LDAP, LEAST, Path};
use super::TRIES;
use crate::{
    net::path::{Sizing, TooBig},
    vantage::ask::{Answer, Carrier, Question, Trouble, ask, ask_for},
};

/// LDAP message id of every request.
pub(super) const ID: u32 = 1;
/// Devices that may each say that a datagram is too large for their next link. Then it is not tested any further.
const NARROWER: usize = 8;
/// A domain controller answers no larger request over UDP (LDAP policy MaxDatagramRecv, 4096 by default).
const LARGEST: u32 = 4_000;
/// A request in fragments is larger than what the first link carries by so much.
const BEYOND: u32 = 500;
/// A reply that comes whole tells something from this size on: what fits through the narrowest tunnels tells nothing.
const WHOLE: usize = 1_300;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ToTarget,
    FromTarget,
    FragmentsTo,
    FragmentsFrom,
}

pub(super) const KINDS: [Kind; 4] =
    [Kind::ToTarget, Kind::FromTarget, Kind::FragmentsTo, Kind::FragmentsFrom];

/// What came of one kind of datagrams.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tried {
    pub(super) passage: Passage,
    /// The size that passed, or was lost.
    pub(super) size: u32,
    pub(super) hop: Option<IpAddr>,
}

/// Datagrams under test.
pub(super) struct Test<'a> {
    pub(super) path: &'a Path<'a>,
    pub(super) mtu: u32,
    pub(super) sizes: Sizes,
    pub(super) rtt: Duration,
    pub(super) patience: [Duration; TRIES],
}

impl Test<'_> {
    pub(super) async fn one(&self, kind: Kind) -> Tried {
        let passage = match kind {
            Kind::ToTarget => return self.whole_request().await,
            Kind::FromTarget => self.whole_reply().await,
            Kind::FragmentsTo => self.cut_request().await,
            Kind::FragmentsFrom => self.cut_reply().await,
        };
        Tried { passage, ..Tried::default() }
    }

    /// The largest request that the first link carries, or that a device on the way says it does.
    async fn whole_request(&self) -> Tried {
        let (mut size, mut hop) = (self.mtu.min(LARGEST), None);
        for _ in 0..NARROWER {
            let passage = match self.request(Sizing::Whole, size).await {
                Err(Trouble::TooBig(TooBig { mtu, by })) if (LEAST..size).contains(&mtu) => {
                    (size, hop) = (mtu, by);
                    continue;
                }
                // A device that does not say what it carries: as good as silent.
                Err(Trouble::TooBig(TooBig { by, .. })) => {
                    hop = by.or(hop);
                    Passage::Lost
                }
                other => passage(&other),
            };
            return Tried { passage, size, hop };
        }
        Tried { hop, ..Tried::default() }
    }

    /// The largest reply that may come whole.
    async fn whole_reply(&self) -> Passage {
        let limit = usize::try_from(self.mtu.saturating_sub(self.path.udp_headers())).unwrap_or_default();
        let limit = limit.min(usize::try_from(LARGEST).unwrap_or_default());
        match self.reply(&choose(&self.sizes, limit)).await {
            Ok(answer) if !(WHOLE..=limit).contains(&answer.value) => Passage::Untested,
            other => passage(&other),
        }
    }

    async fn cut_request(&self) -> Passage {
        let size = self.mtu.saturating_add(BEYOND);
        if size > LARGEST {
            return Passage::Untested;
        }
        passage(&self.request(Sizing::Fragments, size).await)
    }

    /// A reply that is larger than what the first link carries: everything that was answered in parts.
    async fn cut_reply(&self) -> Passage {
        let all: Vec<&str> = self.sizes.keys().map(String::as_str).collect();
        let whole = usize::try_from(self.mtu.saturating_sub(self.path.udp_headers())).unwrap_or(usize::MAX);
        match self.reply(&all).await {
            Ok(answer) if answer.value <= whole => Passage::Untested,
            other => passage(&other),
        }
    }

    /// Whether a small request is answered.
    pub(super) async fn small(&self) -> bool {
        let question = question(self.path, Carrier::Datagram, ldap::root_dse_request(ID, &["currentTime"]));
        ask(self.path.means, &question, |reply| sizes(reply, ID)).await.is_ok()
    }

    pub(super) async fn request(&self, sizing: Sizing, size: u32) -> Result<Answer<usize>, Trouble> {
        request(self.path, sizing, size, &self.patience).await
    }

    /// A small request, and its reply's size.
    async fn reply(&self, attributes: &[&str]) -> Result<Answer<usize>, Trouble> {
        let question = question(self.path, Carrier::Datagram, ldap::root_dse_request(ID, attributes));
        size(self.path, &question, &self.patience).await
    }
}

pub(super) fn question(path: &Path<'_>, carrier: Carrier, request: Vec<u8>) -> Question {
    Question { address: path.address, port: LDAP, carrier, request }
}

/// A request that makes a packet of this size, and a small reply.
pub(super) async fn request(
    path: &Path<'_>,
    sizing: Sizing,
    octets: u32,
    patience: &[Duration],
) -> Result<Answer<usize>, Trouble> {
    let payload = usize::try_from(octets.saturating_sub(path.udp_headers())).unwrap_or_default();
    let question = question(path, Carrier::Sized(sizing), root_dse(ID, payload));
    size(path, &question, patience).await
}

/// Asks, and gives the reply's size.
async fn size(path: &Path<'_>, question: &Question, patience: &[Duration]) -> Result<Answer<usize>, Trouble> {
    ask_for(path.means, question, patience, |reply| sizes(reply, ID).map(|_| reply.len())).await
}

fn passage<T>(asked: &Result<T, Trouble>) -> Passage {
    match asked {
        Ok(_) => Passage::Ok,
        Err(Trouble::Silent) => Passage::Lost,
        Err(_) => Passage::Untested,
    }
}
