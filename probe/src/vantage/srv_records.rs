//! The records of a domain, and what they point to: see [`sekisho_checks::vantage::srv_records`].
//!
//! The resolvers are those that were named for the domain, or else this host's own. A server that gives no definite
//! answer to the first name is asked no others. Where all answers come it takes a few round trips: the first name; the
//! addresses of its targets; their pings; the other names; addresses and pings of what only those name. Where none comes,
//! it takes the tries of one question and of one ping.

mod ping;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::join_all;
use sekisho_checks::{
    vantage::srv_records::{self as judged, Name, Places, Said, Seen, Server},
    wire::{
        cldap::Extended,
        dns::{Kind, Question},
        smb::guid_text,
    },
};
use sekisho_model::Transport;

use super::{Means, Request, Verdict};
use crate::{
    dns::{self, Client, Configuration},
    net::Failure,
};

use ping::Pings;
pub(crate) use ping::served;
pub(super) use ping::{PORT as CLDAP, ping};

/// Most resolvers asked: the first ones, which a client asks too.
const RESOLVERS: usize = 4;
/// Most domain controllers asked for comparison: the first ones.
const COMPARED: usize = 8;
/// Most hosts of the records whose addresses are looked up. The others are counted and not judged.
const HOSTS: usize = 32;
/// Most addresses of one host.
const ADDRESSES: usize = 4;

pub(super) async fn check(means: &Means, request: &Request) -> Verdict {
    let ports = Ports { dns: dns::PORT, cldap: CLDAP };
    let (status, facts) = judged::judge(&look(means, request, resolvers(request), ports).await);
    Verdict { status, facts }
}

/// Where services listen: tests have others.
#[derive(Debug, Clone, Copy)]
struct Ports {
    dns: u16,
    cldap: u16,
}

/// A resolver to ask. This host's own need no permission: whatever runs here asks them.
#[derive(Debug, Clone, Copy)]
struct Resolver {
    address: IpAddr,
    own: bool,
}

fn resolvers(request: &Request) -> Vec<Resolver> {
    let own = Configuration::read().unwrap_or_default().servers;
    let chosen = if request.dns_servers.is_empty() { &own } else { &request.dns_servers };
    let resolver = |address: &IpAddr| Resolver { address: *address, own: own.contains(address) };
    chosen.iter().take(RESOLVERS).map(resolver).collect()
}

/// Who is asked, and what came.
struct Look<'a> {
    means: &'a Means,
    client: Client,
    ports: Ports,
    seen: Seen,
}

async fn look(means: &Means, request: &Request, resolvers: Vec<Resolver>, ports: Ports) -> Seen {
    let seen = Seen { domain: request.domain.clone(), ..Seen::default() };
    let mut look = Look { means, client: Client::new(Arc::clone(&means.engine)), ports, seen };
    let mut pings = Pings::new(means, &request.domain, ports.cldap);
    pings.send(request.targets.iter().map(|target| target.address));
    let places = Places { domain: request.domain.clone(), ..Places::default() };
    look.seen.names = judged::names(&places).into_iter().take(1).collect();
    look.servers(&resolvers, request);
    let first = look.seen.names.clone();
    look.ask(&first).await;
    // The records may name domain controllers that are not known, and they tell as well what the forest is.
    look.hosts().await;
    pings.send(look.addresses());
    let answer = pings.first().await;
    let names = judged::names(&learned(places, answer));
    look.seen.names.clone_from(&names);
    look.ask(names.get(1..).unwrap_or_default()).await;
    look.hosts().await;
    pings.send(look.addresses());
    look.seen.pings = pings.all().await;
    look.seen
}

/// What an answer tells of the places that names are made of.
fn learned(places: Places, answer: Option<Extended>) -> Places {
    let Some(answer) = answer else { return places };
    let name = |name: &str| name.trim_end_matches('.').to_lowercase();
    Places {
        forest: name(&answer.forest),
        guid: guid_text(&answer.domain_guid),
        site: name(&answer.client_site),
        ..places
    }
}

impl Look<'_> {
    /// Notes who may be asked: the resolvers, and for comparison the domain controllers.
    fn servers(&mut self, resolvers: &[Resolver], request: &Request) {
        let mut server = |address: IpAddr, resolver: bool| {
            if self.seen.servers.iter().all(|known| known.address != address) {
                self.seen.servers.push(Server { address, resolver, said: Vec::new() });
            }
        };
        for Resolver { address, own } in resolvers {
            match permit_dns(self.means, *address, self.ports.dns) {
                Err(why) if !own => self.seen.forbidden = Some(format!("resolver {address}: {why}")),
                Ok(()) | Err(_) => server(*address, true),
            }
        }
        for target in request.targets.iter().take(COMPARED) {
            if permit_dns(self.means, target.address, self.ports.dns).is_ok() {
                server(target.address, false);
            }
        }
    }

    /// Asks every server for more names, all at once. Who gave no definite answer to the first is asked no others.
    async fn ask(&mut self, names: &[Name]) {
        let (client, port) = (&self.client, self.ports.dns);
        let rounds = self.seen.servers.iter().map(|server| async move {
            let worth = server.said.first().is_none_or(Said::is_definite);
            let server = SocketAddr::new(server.address, port);
            let asked = names.iter().map(|name| async move {
                if worth { say(client, server, &name.text, name.kind).await } else { (Said::NotAsked, None) }
            });
            join_all(asked).await
        });
        let rounds: Vec<Vec<(Said, Option<u32>)>> = join_all(rounds).await;
        for (server, round) in self.seen.servers.iter_mut().zip(rounds) {
            if server.said.is_empty() && server.resolver {
                self.seen.ttl = self.seen.ttl.or(round.first().and_then(|(_, ttl)| *ttl));
            }
            server.said.extend(round.into_iter().map(|(said, _)| said));
        }
    }

    /// Looks up the addresses of the targets that the deciding resolver names: IPv4, and IPv6 where there is none.
    async fn hosts(&mut self) {
        let Some(resolver) = judged::deciding(&self.seen.servers) else { return };
        let server = SocketAddr::new(resolver.address, self.ports.dns);
        let hosts: BTreeSet<&str> = judged::targets(resolver);
        let known = &self.seen.hosts;
        let fresh = hosts.iter().filter(|host| !known.contains_key(**host));
        let fresh = fresh.take(HOSTS.saturating_sub(known.len()));
        let client = &self.client;
        let found = join_all(fresh.map(|host| async move {
            let mut said = say(client, server, host, Kind::A).await.0;
            if said == Said::Nothing {
                said = say(client, server, host, Kind::Aaaa).await.0;
            }
            if let Said::Addresses(addresses) = &mut said {
                addresses.truncate(ADDRESSES);
            }
            ((*host).to_owned(), said)
        }));
        let (found, hosts) = (found.await, hosts.len());
        self.seen.hosts.extend(found);
        self.seen.left_out = hosts.saturating_sub(self.seen.hosts.len());
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let mut all = Vec::new();
        for said in self.seen.hosts.values() {
            if let Said::Addresses(addresses) = said {
                all.extend(addresses);
            }
        }
        all
    }
}

/// The local scope must allow both, because an answer may not fit UDP.
fn permit_dns(means: &Means, address: IpAddr, port: u16) -> Result<(), String> {
    means.gate.permit(address, Transport::Udp, Some(port))?;
    means.gate.permit(address, Transport::Tcp, Some(port))
}

/// What a server says to a question, and the lowest time to live of it.
async fn say(client: &Client, server: SocketAddr, name: &str, kind: Kind) -> (Said, Option<u32>) {
    // A name that DNS cannot carry has no record.
    let Ok(question) = Question::new(name, kind) else { return (Said::Nothing, None) };
    match client.ask(server, &question).await {
        Ok(answer) => (Said::of(&answer.reply, kind), answer.reply.ttl),
        Err(Failure::Local(why)) => (Said::NotSent(why), None),
        Err(error) => {
            tracing::debug!(%server, name, ?error, "no answer");
            (Said::Unanswered, None)
        }
    }
}
