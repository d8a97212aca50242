//! Connections: full segments to the domain controller and back.

use std::{net::SocketAddr, time::Duration};

use futures_util::{
    StreamExt,
    future::join_all,
    stream::{FuturesOrdered, FuturesUnordered},
};
use sekisho_checks::{
    vantage::path_mtu::{self, Passage, Ways},
    wire::{kerberos, ldap},
};
use sekisho_model::Transport;
use tokio::time::{Instant, timeout, timeout_at};

use super::{GLOBAL_CATALOG, LDAP, Passes, Path, largest};
use crate::{
    net::path::TcpPath,
    vantage::ask::{Stream, Trouble, nobody, realm},
};

/// Where connections go, the best first: LDAP answers small and large in both directions, Kerberos small alone.
const PORTS: [Port; 3] = [
    Port { number: LDAP, speech: Speech::Ldap },
    Port { number: GLOBAL_CATALOG, speech: Speech::Ldap },
    Port { number: 88, speech: Speech::Kerberos },
];
/// The next port is tried when the ones before it have not answered for this time.
const PREFERENCE: Duration = Duration::from_millis(300);
/// A handshake takes at most this: the kernel repeats a lost SYN after one second, and after two.
const HANDSHAKE: Duration = Duration::from_millis(2_200);
/// A small exchange takes at most this: a lost segment is repeated three times.
const SMALL: Duration = Duration::from_millis(1_500);
/// Segments of a large request.
const SEGMENTS: u32 = 3;
/// Everything that a rootDSE holds: what comes by itself, and what must be named.
const EVERYTHING: [&str; 4] = ["*", "supportedControl", "namingContexts", "supportedLDAPPolicies"];
/// LDAP message ids of the small exchange and of the large one after it.
const FIRST: u32 = 1;
const SECOND: u32 = 2;
/// How often, and for how long, large exchanges are tried before they are lost.
struct Series {
    /// The next connection begins this long after the one before it.
    gaps: &'static [Duration],
    /// A large exchange takes at most this.
    wait: Duration,
    /// So many of the connections must have lost it, after a small exchange worked on each.
    enough: usize,
}

/// The verdict: five of six connections stall for as long as the kernel repeats a segment three times. With 5 % loss each way
/// that happens to one connection in 10,000 by chance.
const VERDICT: Series = Series {
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
const STEP: Series = Series {
    gaps: &[Duration::from_millis(40), Duration::from_millis(40), Duration::ZERO],
    wait: Duration::from_millis(700),
    enough: 2,
};

/// What was found out with connections.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) ways: Ways,
    /// Octets of a segment's data.
    pub(super) mss: Option<u32>,
    /// The largest packet that passes, with its headers, where no larger ones are lost.
    pub(super) reached: Option<u32>,
    /// Where full packets are lost.
    lost: Option<Lost<'a>>,
    pub(super) trouble: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Ldap,
    Kerberos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Port {
    number: u16,
    speech: Speech,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
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
struct Test<'a> {
    path: &'a Path<'a>,
    realm: String,
    port: Port,
}

pub(super) async fn test<'a>(path: &'a Path<'a>, domain: &str) -> Found<'a> {
    let realm = realm(domain);
    match first(path, &realm).await {
        Err(trouble) => Found { trouble: Some(trouble.word()), ..Found::default() },
        Ok((port, stream)) => {
            let known = stream.path();
            drop(stream);
            Test { path, realm, port }.run(known).await
        }
    }
}

/// The best port on which a small exchange works, and the connection. The trouble is that of the best port.
async fn first(path: &Path<'_>, realm: &str) -> Result<(Port, Stream), Trouble> {
    let mut ports: FuturesOrdered<_> = (0_u32..)
        .zip(PORTS)
        .map(|(place, port)| async move {
            tokio::time::sleep(PREFERENCE * place).await;
            let test = Test { path, realm: realm.to_owned(), port };
            test.open(None).await.map(|stream| (port, stream))
        })
        .collect();
    let mut first = None;
    while let Some(opened) = ports.next().await {
        match opened {
            Ok(opened) => return Ok(opened),
            Err(trouble) => first = first.or(Some(trouble)),
        }
    }
    Err(first.unwrap_or(Trouble::Silent))
}

impl Found<'_> {
    /// The largest packet that passes in the directions in which full ones do not. `hint`: one that may be it.
    pub(super) async fn search(&self, hint: Option<u32>) -> Option<u32> {
        let lost = self.lost.as_ref()?;
        largest(lost.test.path, lost.test.path.interface_mtu?, hint, lost).await
    }
}

impl<'a> Test<'a> {
    /// `known` is what the kernel knows of a connection over which little went.
    async fn run(self, known: Option<TcpPath>) -> Found<'a> {
        let (to, from) = tokio::join!(
            Box::pin(self.series(Way::ToTarget, None, &VERDICT)),
            Box::pin(self.series(Way::FromTarget, None, &VERDICT)),
        );
        let mut ways = Ways { to_target: to.0, from_target: from.0 };
        // A connection that sent full segments knows the path better.
        let known = to.1.or(known);
        let mss = known.map(|known| known.largest_sent.saturating_sub(self.path.tcp_headers()));
        let lost: Vec<Way> = [(Way::ToTarget, to.0), (Way::FromTarget, from.0)]
            .into_iter()
            .filter(|(_, passage)| *passage == Passage::Lost)
            .map(|(way, _)| way)
            .collect();
        if lost.is_empty() {
            let reached = to.1.and_then(|known| self.full(known));
            return Found { ways, mss, reached, ..Found::default() };
        }
        // The control after it: a domain controller that went away meanwhile lost nothing.
        if self.open(None).await.is_err() {
            for way in [&mut ways.to_target, &mut ways.from_target] {
                if *way == Passage::Lost {
                    *way = Passage::Untested;
                }
            }
            return Found { ways, mss, ..Found::default() };
        }
        Found { ways, mss, lost: Some(Lost { test: self, ways: lost }), ..Found::default() }
    }

    /// A connection for a large exchange, after a small one on it. A KDC may close after a reply: its small exchange has a
    /// connection of its own.
    async fn open(&self, mss: Option<u32>) -> Result<Stream, Trouble> {
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
        let connect = Stream::connect(SocketAddr::new(address, number), mss);
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
    async fn series(&self, way: Way, mss: Option<u32>, series: &Series) -> (Passage, Option<TcpPath>) {
        let (mut trials, mut lost) = (FuturesUnordered::new(), 0);
        for gap in series.gaps {
            trials.push(Box::pin(self.trial(way, mss, series.wait)));
            let next = Instant::now() + *gap;
            while let Ok(Some(trial)) = timeout_at(next, trials.next()).await {
                match trial {
                    Trial::Passed(known) => return (Passage::Ok, known),
                    Trial::Lost => lost += 1,
                    Trial::Untested => {}
                }
            }
        }
        while let Some(trial) = trials.next().await {
            match trial {
                Trial::Passed(known) => return (Passage::Ok, known),
                Trial::Lost => lost += 1,
                Trial::Untested => {}
            }
        }
        (if lost >= series.enough { Passage::Lost } else { Passage::Untested }, None)
    }

    async fn trial(&self, way: Way, mss: Option<u32>, wait: Duration) -> Trial {
        match (self.open(mss).await, way, self.port.speech) {
            (Ok(stream), Way::ToTarget, _) => self.to_target(stream, wait).await,
            (Ok(stream), Way::FromTarget, Speech::Ldap) => from_target(stream, wait).await,
            (Ok(_), Way::FromTarget, Speech::Kerberos) | (Err(_), ..) => Trial::Untested,
        }
    }

    /// A request of several full segments. It arrived when it is answered, and also when it is acknowledged.
    async fn to_target(&self, mut stream: Stream, wait: Duration) -> Trial {
        let Some(before) = stream.path() else { return Trial::Untested };
        let size = usize::try_from(before.largest_sent.saturating_mul(SEGMENTS)).unwrap_or_default();
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

    /// The size of a full packet, where it is the path that bounds it and not what the ends agreed on.
    fn full(&self, known: TcpPath) -> Option<u32> {
        let bound = self.path.interface_mtu.map_or(known.route_mtu, |mtu| mtu.min(known.route_mtu));
        Some(known.largest_sent).filter(|largest| *largest >= bound)
    }
}

/// Directions in which full packets are lost.
#[derive(Debug)]
struct Lost<'a> {
    test: Test<'a>,
    ways: Vec<Way>,
}

impl Passes for Lost<'_> {
    /// In all these directions.
    async fn passes(&self, size: u32) -> bool {
        let mss = Some(size.saturating_sub(self.test.path.tcp_headers()));
        let series = self.ways.iter().map(|way| Box::pin(self.test.series(*way, mss, &STEP)));
        join_all(series).await.iter().all(|(passage, _)| *passage == Passage::Ok)
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
