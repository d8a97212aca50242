//! Netlogon pings (MS-ADTS 6.3.3) to several addresses at once, each address once.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use sekisho_checks::{
    vantage::srv_records::Ping,
    wire::cldap::{self, Answer, Extended, NT_VERSION, Reply},
};
use sekisho_model::Transport;
use tokio::task::JoinSet;

use crate::{
    dns::{DATAGRAMS, until_answered},
    net::{self, Failure, Received},
    runner::Engine,
    vantage::Means,
};

/// Where domain controllers answer pings.
pub(in crate::vantage) const PORT: u16 = 389;
/// Most addresses pinged. What comes later stays without a result, which is judged as not tested.
const ADDRESSES: usize = 64;

/// Pings under way.
pub(in crate::vantage) struct Pings<'a> {
    means: &'a Means,
    domain: Arc<str>,
    port: u16,
    sent: BTreeSet<IpAddr>,
    under_way: JoinSet<(IpAddr, Ping)>,
    done: BTreeMap<IpAddr, Ping>,
}

impl<'a> Pings<'a> {
    pub(in crate::vantage) fn new(means: &'a Means, domain: &str, port: u16) -> Self {
        let (sent, done) = (BTreeSet::new(), BTreeMap::new());
        Self { means, domain: domain.into(), port, sent, under_way: JoinSet::new(), done }
    }

    /// Begins with those that were not pinged yet and may be.
    pub(in crate::vantage) fn send(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            if self.sent.len() >= ADDRESSES || !self.sent.insert(address) {
                continue;
            }
            if let Err(why) = self.means.gate.permit(address, Transport::Udp, Some(self.port)) {
                self.done.insert(address, Ping::NotSent(why));
                continue;
            }
            if !is_of_a_host(address) {
                self.done.insert(address, Ping::Unanswered("no address of a host".to_owned()));
                continue;
            }
            let (engine, domain) = (Arc::clone(&self.means.engine), Arc::clone(&self.domain));
            let server = SocketAddr::new(address, self.port);
            self.under_way.spawn(async move {
                let told = ping(&engine, server, Some(&domain)).await;
                (address, told.map_or_else(|failure| failed(&failure), |received| result(received.reply)))
            });
        }
    }

    /// Waits for the first answer of a domain controller of the domain; `None`: no ping was answered so.
    pub(in crate::vantage) async fn first(&mut self) -> Option<Extended> {
        loop {
            if let Some(answer) = self.done.values().find_map(|ping| self.ours(ping)) {
                return Some(answer.clone());
            }
            let ended = self.under_way.join_next().await?;
            self.note(ended);
        }
    }

    fn ours<'p>(&self, ping: &'p Ping) -> Option<&'p Extended> {
        let Ping::Answer(answer) = ping else { return None };
        answer.domain.eq_ignore_ascii_case(&self.domain).then_some(answer)
    }

    /// Waits for all.
    pub(in crate::vantage) async fn all(mut self) -> BTreeMap<IpAddr, Ping> {
        while let Some(ended) = self.under_way.join_next().await {
            self.note(ended);
        }
        self.done
    }

    fn note(&mut self, ended: Result<(IpAddr, Ping), tokio::task::JoinError>) {
        match ended {
            Ok((address, ping)) => drop(self.done.insert(address, ping)),
            Err(error) => tracing::error!(%error, "a ping ended abnormally; its address stays unanswered"),
        }
    }
}

/// Whether a packet to it goes to one host: records of a stranger may say anything.
fn is_of_a_host(address: IpAddr) -> bool {
    let everybody = IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
    !address.is_multicast() && !address.is_unspecified() && address != everybody
}

/// Pings an address until it answers, or six times. `None` asks about the domain that it serves, whichever that is.
pub(in crate::vantage) async fn ping(
    engine: &Arc<Engine>,
    server: SocketAddr,
    domain: Option<&str>,
) -> Result<Received<Reply>, Failure> {
    until_answered(engine, server.ip(), &DATAGRAMS, || async {
        let [a, b, c, d, e, f, g, h, ..] = *uuid::Uuid::new_v4().as_bytes();
        // LDAP message ids are 1 to 2^31 - 1.
        let id = (u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff).max(1);
        let host = format!("SKS{:08X}", u32::from_be_bytes([e, f, g, h]));
        let ping = cldap::Ping { id, domain, host: &host, account: None, nt_version: NT_VERSION };
        // Anything else is late or forged.
        let ours = |bytes: &[u8]| cldap::decode(bytes).ok().filter(|reply| reply.id == i64::from(id));
        net::converse(server, &cldap::request(&ping), ours).await
    })
    .await
}

/// The domain that an address says it serves, lower case; `None`: no domain controller answers.
pub(crate) async fn served(engine: &Arc<Engine>, address: IpAddr) -> Option<String> {
    match ping(engine, SocketAddr::new(address, PORT), None).await.ok()?.reply.answer? {
        Answer::Extended(answer) => Some(answer.domain.trim_end_matches('.').to_lowercase()),
        Answer::Nt4(_) => None,
    }
}

fn result(reply: Reply) -> Ping {
    match reply.answer {
        Some(Answer::Extended(answer)) => Ping::Answer(answer),
        Some(Answer::Nt4(_)) => Ping::Nt4,
        None if reply.code == 0 => Ping::NotServed,
        None => Ping::Unanswered(format!("LDAP result {}", reply.code)),
    }
}

fn failed(failure: &Failure) -> Ping {
    match failure {
        Failure::Closed => Ping::Closed,
        Failure::Icmp(icmp) => Ping::Unanswered(format!("{} from {}", icmp.describe(), icmp.offender)),
        Failure::NoRoute(why) => Ping::Unanswered(why.clone()),
        Failure::Local(why) => Ping::NotSent(why.clone()),
        Failure::Silent | Failure::Ended | Failure::Garbage => Ping::Unanswered(failure.word().to_owned()),
    }
}
