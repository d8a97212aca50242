//! The resolvers that this host uses, and those that were named: see [`sekisho_checks::vantage::resolver`].
//!
//! All questions go out at once. A domain controller that is a resolver too is asked once for both.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::join_all;
use sekisho_checks::{
    vantage::resolver::{self as judged, Controller, Origin, Resolver, Seen, Told},
    wire::{
        cldap::{Answer, Reply},
        dns::{Kind, Question},
    },
};
use sekisho_model::Transport;

use super::{
    Means, Request, Verdict,
    srv_records::{CLDAP, ping},
};
use crate::{
    dns::{self, Client, Configuration, is_stub},
    net::Failure,
    runner::Target,
};

/// Most resolvers tested: the first ones. One place is kept for a named one.
const RESOLVERS: usize = 4;
/// Most domain controllers asked for comparison: the first ones.
const COMPARED: usize = 8;
/// Times that replies of two ports are compared once more when their times to live differ.
const CONFIRMATIONS: usize = 6;

pub(super) async fn check(means: &Means, request: &Request) -> Verdict {
    let (own, unreadable) = match Configuration::read() {
        Ok(own) => (own, None),
        Err(why) => (Configuration::default(), Some(why)),
    };
    let Some(questions) = Questions::about(&request.domain) else {
        return Verdict::unknown("bad-name", format!("\"{}\" is not a DNS name", request.domain));
    };
    let look =
        Look { means, client: Client::new(Arc::clone(&means.engine)), questions, ports: (dns::PORT, CLDAP) };
    let chosen = chosen(&own, &request.dns_servers);
    let seen = look.all(&request.domain, &chosen, &request.targets, unreadable).await;
    let (status, facts) = judged::judge(&seen);
    Verdict { status, facts }
}

/// This host's own resolvers, then those that were named and are none of them.
fn chosen(own: &Configuration, named: &[IpAddr]) -> Vec<(IpAddr, Origin)> {
    let mut chosen: Vec<(IpAddr, Origin)> = Vec::new();
    let mut take = |addresses: &[IpAddr], origin: Origin, most: usize| {
        for address in addresses {
            if chosen.len() < most && chosen.iter().all(|(known, _)| known != address) {
                let stub = origin == Origin::Own && is_stub(address);
                chosen.push((*address, if stub { Origin::Stub } else { origin }));
            }
        }
    };
    let most = if named.is_empty() { RESOLVERS } else { RESOLVERS - 1 };
    take(&own.servers, Origin::Own, most);
    take(&own.upstream, Origin::Upstream, most);
    take(named, Origin::Named, RESOLVERS);
    chosen
}

/// What every server is asked.
struct Questions {
    records: Question,
    zone: Question,
    /// A name that nobody has.
    random: Question,
}

impl Questions {
    fn about(domain: &str) -> Option<Self> {
        let random = format!("sekisho-{}.{domain}", uuid::Uuid::new_v4().simple());
        Some(Self {
            records: Question::new(
                &format!("{}{domain}", sekisho_checks::vantage::srv_records::FIRST),
                Kind::Srv,
            )
            .ok()?,
            zone: Question::new(domain, Kind::Soa).ok()?,
            random: Question::new(&random, Kind::A).ok()?,
        })
    }
}

struct Look<'a> {
    means: &'a Means,
    client: Client,
    questions: Questions,
    /// Where DNS servers listen and where domain controllers answer pings: tests have others.
    ports: (u16, u16),
}

impl Look<'_> {
    async fn all(
        &self,
        domain: &str,
        chosen: &[(IpAddr, Origin)],
        targets: &[Target],
        unreadable: Option<String>,
    ) -> Seen {
        let resolvers = join_all(chosen.iter().map(|(address, origin)| self.resolver(*address, *origin)));
        let addresses: BTreeSet<IpAddr> =
            targets.iter().take(COMPARED).map(|target| target.address).collect();
        let controllers = addresses.iter().map(|address| {
            let asked = chosen.iter().any(|(known, _)| known == address);
            self.controller(*address, domain, asked)
        });
        let (resolvers, mut controllers) = tokio::join!(resolvers, join_all(controllers));
        for controller in &mut controllers {
            if let Some(resolver) = resolvers.iter().find(|r| r.address == controller.address) {
                share(controller, resolver);
            }
        }
        join_all(controllers.iter_mut().map(|controller| self.confirm(controller, domain))).await;
        Seen { domain: domain.to_owned(), resolvers, controllers, unreadable }
    }

    /// This host's own resolvers need no permission: whatever runs here asks them.
    async fn resolver(&self, address: IpAddr, origin: Origin) -> Resolver {
        let permit = |transport| self.means.gate.permit(address, transport, Some(self.ports.0));
        if origin == Origin::Named
            && let Err(why) = permit(Transport::Udp).and_then(|()| permit(Transport::Tcp))
        {
            let forbidden = || Told::Local(why.clone());
            let (udp, tcp, zone, random) = (forbidden(), forbidden(), forbidden(), forbidden());
            return Resolver { address, origin, udp, tcp, zone, random };
        }
        let asked = &self.questions;
        let (udp, tcp, zone, random) = tokio::join!(
            self.ask(address, &asked.records),
            self.ask_over_tcp(address, &asked.records),
            self.ask(address, &asked.zone),
            self.ask(address, &asked.random),
        );
        Resolver { address, origin, udp, tcp, zone, random }
    }

    async fn controller(&self, address: IpAddr, domain: &str, asked: bool) -> Controller {
        let permitted = self.means.gate.permit(address, Transport::Udp, Some(self.ports.0)).is_ok();
        let dns = async {
            if asked || !permitted {
                return (Told::NotAsked, Told::NotAsked);
            }
            tokio::join!(
                self.ask(address, &self.questions.records),
                self.ask(address, &self.questions.random)
            )
        };
        let ((records, random), pinged) = tokio::join!(dns, self.ping(address, domain));
        let dns_ttls = [&records, &random].into_iter().filter_map(ttl).collect();
        let (is_controller, ping_ttls) = (pinged.is_some(), pinged.flatten().into_iter().collect());
        Controller { address, records, random, is_controller, dns_ttls, ping_ttls }
    }

    /// Where times to live differ, compares some more: where ways of equal cost are the reason, they meet.
    async fn confirm(&self, controller: &mut Controller, domain: &str) {
        for _ in 0..CONFIRMATIONS {
            if !controller.ttl_differs() {
                return;
            }
            let address = controller.address;
            let (told, pinged) =
                tokio::join!(self.ask(address, &self.questions.records), self.ping(address, domain));
            controller.dns_ttls.extend(ttl(&told));
            controller.ping_ttls.extend(pinged.flatten());
        }
    }

    /// The time to live of the answer to a netlogon ping; `None`: no domain controller of the domain answers.
    async fn ping(&self, address: IpAddr, domain: &str) -> Option<Option<u8>> {
        self.means.gate.permit(address, Transport::Udp, Some(self.ports.1)).ok()?;
        let pinged =
            ping(&self.means.engine, SocketAddr::new(address, self.ports.1), Some(domain)).await.ok()?;
        serves(&pinged.reply, domain).then_some(pinged.ttl)
    }

    async fn ask(&self, address: IpAddr, question: &Question) -> Told {
        told(self.client.over_udp(SocketAddr::new(address, self.ports.0), question).await)
    }

    async fn ask_over_tcp(&self, address: IpAddr, question: &Question) -> Told {
        told(self.client.over_tcp(SocketAddr::new(address, self.ports.0), question).await)
    }
}

fn serves(reply: &Reply, domain: &str) -> bool {
    match &reply.answer {
        Some(Answer::Extended(answer)) => answer.domain.eq_ignore_ascii_case(domain),
        Some(Answer::Nt4(_)) | None => false,
    }
}

/// A domain controller that was asked as a resolver.
fn share(controller: &mut Controller, resolver: &Resolver) {
    let told = [&resolver.udp, &resolver.zone, &resolver.random];
    controller.dns_ttls.extend(told.into_iter().filter_map(ttl));
    controller.records = resolver.udp.clone();
    controller.random = resolver.random.clone();
}

const fn ttl(told: &Told) -> Option<u8> {
    match told {
        Told::Answer { ttl, .. } => *ttl,
        Told::Failed(_) | Told::Local(_) | Told::NotAsked => None,
    }
}

fn told(result: Result<dns::Answer, Failure>) -> Told {
    match result {
        Ok(answer) => Told::Answer { response: answer.reply, took: answer.took, ttl: answer.ttl },
        Err(Failure::Local(why)) => Told::Local(why),
        Err(failure) => Told::Failed(failure.word()),
    }
}
