//! One large exchange on a connection, and as many as a verdict needs.

use std::{net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use sekisho_checks::{
    vantage::path_mtu::{self, Passage},
    wire::{kerberos, ldap},
};
use sekisho_model::Transport;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::Path;
use crate::{
    net::path::TcpPath,
    vantage::ask::{Stream, Trouble, nobody},
};

/// A handshake takes at most this: the kernel repeats a lost SYN after one second, and after two.
const HANDSHAKE: Duration = Duration::from_millis(2_200);
/// A small exchange takes at most this: a lost segment is repeated three times.
const SMALL: Duration = Duration::from_millis(1_500);
/// Full segments of a large request, whatever size they are then cut to.
const SEGMENTS: u32 = 3;
/// A large request has at most so many octets: the loopback has larger segments.
const MAX_REQUEST: usize = 32 * 1024;
/// What a link carries where nobody tells.
const ETHERNET: u32 = 1_500;
/// All exchanges of a series have ended after this.
const LONGEST: Duration = Duration::from_secs(12);
/// Everything that a rootDSE holds: what comes by itself, and what must be named.
const EVERYTHING: [&str; 4] = ["*", "supportedControl", "namingContexts", "supportedLDAPPolicies"];
/// LDAP message ids of the small exchange and of the large one after it.
const FIRST: u32 = 1;
const SECOND: u32 = 2;

/// How often, and for how long, large exchanges are tried before they are lost.
pub(super) struct Series {
    /// The next connection begins this long after the one before it.
    gaps: &'static [Duration],
    /// A large exchange takes at most this.
    wait: Duration,
    /// So many of the connections must have lost it, after a small exchange worked on each.
    enough: usize,
}

/// The verdict: five of six connections stall for as long as the kernel repeats a segment three times. With 5 % loss each way
/// that happens to one connection in 10,000 by chance.
pub(super) const VERDICT: Series = Series {
    gaps: &[
        Duration::from_millis(400),
        Duration::from_millis(40),
        Duration::from_millis(40),
        Duration::from_millis(40),
        Duration::from_millis(40),
        Duration::ZERO,
    ],
    wait: Duration::from_millis(2_500),
    enough: 5,
};
/// One step of a search: a wrong one makes a number wrong, and no verdict.
pub(super) const STEP: Series = Series {
    gaps: &[Duration::from_millis(40), Duration::from_millis(40), Duration::ZERO],
    wait: Duration::from_millis(700),
    enough: 2,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    Ldap,
    Kerberos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) speech: Speech,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToTarget,
    FromTarget,
}

/// What came of one large exchange.
enum Trial {
    /// It passed; what the kernel knows of the connection then, where it was this host that sent.
    Passed(Option<TcpPath>),
    Lost,
    Untested,
}

/// Connections under test.
#[derive(Debug)]
pub(super) struct Test<'a> {
    pub(super) path: &'a Path<'a>,
    pub(super) realm: String,
    pub(super) port: Port,
}

impl Test<'_> {
    /// A connection for a large exchange, after a small one on it. A KDC may close after a reply: its small exchange has a
    /// connection of its own.
    pub(super) async fn open(&self, mss: Option<u32>) -> Result<Stream, Trouble> {
        let mut stream = self.connect(mss).await?;
        let small = async {
            match self.port.speech {
                Speech::Ldap => {
                    let request = ldap::root_dse_request(FIRST, &["currentTime"]);
                    search(&mut stream, FIRST, &request).await.map(|_| ())
                }
                Speech::Kerberos => self.request_ticket(&mut stream, 0).await,
            }
        };
        timeout(SMALL, small).await.map_err(|_| Trouble::Silent)??;
        match self.port.speech {
            Speech::Ldap => Ok(stream),
            Speech::Kerberos => self.connect(mss).await,
        }
    }

    async fn connect(&self, mss: Option<u32>) -> Result<Stream, Trouble> {
        let (means, address, number) = (self.path.means, self.path.address, self.port.number);
        let _permit = means.admit(address, Transport::Tcp, number).await.map_err(|_| Trouble::OutOfScope)?;
        let life = means.engine.syn_life(address);
        let connect = Stream::connect(SocketAddr::new(address, number), mss, life);
        timeout(HANDSHAKE, connect).await.map_err(|_| Trouble::Silent)?
    }

    /// Asks for a ticket for an account that cannot exist by chance, with so much padding, and reads the refusal.
    async fn request_ticket(&self, stream: &mut Stream, padding: usize) -> Result<(), Trouble> {
        let request = path_mtu::as_request(&nobody(), &self.realm, FIRST, padding);
        stream.send(&kerberos::framed(&request)).await?;
        let reply = stream.message(kerberos::measure).await?;
        kerberos::decode(reply.get(4..).unwrap_or_default()).map(|_| ()).map_err(|_| Trouble::Strange)
    }

    /// Large exchanges on one connection after the other, until one passes or enough of them are lost.
    pub(super) async fn series(
        &self,
        way: Way,
        mss: Option<u32>,
        series: &Series,
    ) -> (Passage, Option<TcpPath>) {
        if (way, self.port.speech) == (Way::FromTarget, Speech::Kerberos) {
            return (Passage::Untested, None);
        }
        let (mut trials, mut lost, mut gaps) = (FuturesUnordered::new(), 0, series.gaps.iter());
        loop {
            // After the last one there is nothing to begin, and each of them ends by itself.
            let next = gaps.next().map(|gap| {
                trials.push(Box::pin(self.trial(way, mss, series.wait)));
                Instant::now() + *gap
            });
            let over = next.unwrap_or_else(|| Instant::now() + LONGEST);
            while let Ok(Some(trial)) = timeout_at(over, trials.next()).await {
                match trial {
                    Trial::Passed(known) => return (Passage::Ok, known),
                    Trial::Lost => lost += 1,
                    Trial::Untested => {}
                }
            }
            if next.is_none() {
                break;
            }
        }
        (if lost >= series.enough { Passage::Lost } else { Passage::Untested }, None)
    }

    async fn trial(&self, way: Way, mss: Option<u32>, wait: Duration) -> Trial {
        match (self.open(mss).await, way) {
            (Ok(stream), Way::ToTarget) => self.to_target(stream, wait).await,
            (Ok(stream), Way::FromTarget) => from_target(stream, wait).await,
            (Err(_), _) => Trial::Untested,
        }
    }

    /// A request of several full segments. It arrived when it is answered, and also when it is acknowledged.
    async fn to_target(&self, mut stream: Stream, wait: Duration) -> Trial {
        let segment = self.path.interface_mtu.unwrap_or(ETHERNET);
        let size = usize::try_from(segment.saturating_mul(SEGMENTS)).unwrap_or_default().min(MAX_REQUEST);
        let exchange = async {
            match self.port.speech {
                Speech::Ldap => {
                    search(&mut stream, SECOND, &path_mtu::root_dse(SECOND, size)).await.map(|_| ())
                }
                Speech::Kerberos => self.request_ticket(&mut stream, size).await,
            }
        };
        let ended = timeout(wait, exchange).await;
        let Some(after) = stream.path() else { return Trial::Untested };
        match ended {
            Err(_) if after.outstanding > 0 => Trial::Lost,
            // What a connection that broke had delivered before is not known.
            Ok(Err(_)) => Trial::Untested,
            Ok(Ok(())) | Err(_) => Trial::Passed(Some(after)),
        }
    }
}

/// A reply that is larger than a segment.
async fn from_target(mut stream: Stream, wait: Duration) -> Trial {
    let Some(known) = stream.path() else { return Trial::Untested };
    let request = ldap::root_dse_request(SECOND, &EVERYTHING);
    let ended = timeout(wait, search(&mut stream, SECOND, &request)).await;
    let acknowledged = stream.path().is_some_and(|path| path.outstanding == 0);
    match ended {
        Ok(Ok(entry)) if entry > usize::try_from(known.advertised_mss).unwrap_or(usize::MAX) => {
            Trial::Passed(None)
        }
        // The request arrived and nothing of its reply did.
        Err(_) if acknowledged && !stream.has_part() => Trial::Lost,
        Ok(_) | Err(_) => Trial::Untested,
    }
}

/// Searches, reads to the end of the search, and gives the octets of the entry.
async fn search(stream: &mut Stream, id: u32, request: &[u8]) -> Result<usize, Trouble> {
    stream.send(request).await?;
    let mut entry = 0;
    loop {
        let message = stream.message(ldap::measure).await?;
        let decoded = ldap::decode(&message).map_err(|_| Trouble::Strange)?;
        match decoded.operation {
            ldap::Operation::Entry(_) if decoded.id == i64::from(id) => entry = message.len(),
            ldap::Operation::Done(_) if decoded.id == i64::from(id) => return Ok(entry),
            ldap::Operation::Entry(_)
            | ldap::Operation::Done(_)
            | ldap::Operation::Extended(_)
            | ldap::Operation::Other(_) => return Err(Trouble::Strange),
        }
    }
}
