//! Discovery: the domain controllers of a domain and the addresses of a host, from a list of DNS servers.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use sekisho_checks::wire::dns::{self, Kind, Question, Response};
use tokio::time::timeout;

use crate::{
    dns::{Client, Configuration, server},
    runner::{Engine, Target},
};

/// A server that takes longer is waited for while the next one is asked.
const HEAD_START: Duration = Duration::from_millis(700);
/// Most servers asked.
const SERVERS: usize = 4;
/// Most domain controllers taken from an answer.
const CONTROLLERS: usize = sekisho_proto::limits::TARGETS_PER_DISCOVERY;

/// Hosts whose addresses are asked for at the same time: records may name many that nobody answers for.
const AT_ONCE: usize = 64;

/// Why a name could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is nobody to ask.
    #[error("no DNS server to ask: {0}")]
    NoServer(String),
    /// Nobody answered.
    #[error("no answer about {name} from {servers}: is port 53 open from here?")]
    Silent {
        /// What was asked.
        name: String,
        /// Who was asked.
        servers: String,
    },
    /// The answer is a refusal.
    #[error("{server} answers {rcode} to {name}")]
    Refused {
        /// What was asked.
        name: String,
        /// Who answered.
        server: IpAddr,
        /// The response code in words.
        rcode: String,
    },
    /// The answer holds nothing of what was asked.
    #[error("{name} has no {what}")]
    Empty {
        /// What was asked.
        name: String,
        /// What is missing.
        what: &'static str,
    },
    /// The name cannot be put in a question.
    #[error("\"{0}\" is not a DNS name")]
    BadName(String),
}

/// Asks a list of DNS servers.
#[derive(Debug, Clone)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    client: Client,
}

impl Resolver {
    /// Asks these servers, in this order and within the rates of the engine.
    #[must_use]
    pub fn of(engine: &Arc<Engine>, servers: &[IpAddr]) -> Self {
        let servers = servers.iter().take(SERVERS).map(|ip| server(*ip)).collect();
        Self { servers, client: Client::new(Arc::clone(engine)) }
    }

    /// Asks the servers that this host uses, from `/etc/resolv.conf`.
    ///
    /// # Errors
    /// The file cannot be read or names no server.
    pub fn system(engine: &Arc<Engine>) -> Result<Self, ResolveError> {
        let configuration = Configuration::read()
            .map_err(|why| ResolveError::NoServer(format!("{why}; name one with --dns")))?;
        if configuration.servers.is_empty() {
            let file = Configuration::FILE;
            return Err(ResolveError::NoServer(format!("{file} names none; name one with --dns")));
        }
        Ok(Self::of(engine, &configuration.servers))
    }

    /// The domain controllers that the SRV records of a domain name (MS-ADTS 6.3.6.1), with their addresses.
    ///
    /// # Errors
    /// Nobody answers, the answer is a refusal, or it names nobody that has an address.
    pub async fn domain_controllers(&self, domain: &str) -> Result<Vec<Target>, ResolveError> {
        let name = format!("_ldap._tcp.dc._msdcs.{domain}");
        let response = self.ask(&name, Kind::Srv).await?;
        let mut hosts: Vec<String> = response.services().map(|srv| srv.target.clone()).collect();
        hosts.sort();
        hosts.dedup();
        hosts.truncate(CONTROLLERS);
        if hosts.is_empty() {
            return Err(ResolveError::Empty { name, what: "SRV record" });
        }
        let looked_up = hosts.into_iter().map(|host| self.controller(host, domain, &response));
        let mut found = stream::iter(looked_up).buffered(AT_ONCE).concat().await;
        found.truncate(CONTROLLERS);
        if found.is_empty() {
            return Err(ResolveError::Empty { name, what: "domain controller with an address" });
        }
        Ok(found)
    }

    /// A domain controller that SRV records name, once for each of its addresses. They came with the records, or are asked for.
    async fn controller(&self, host: String, domain: &str, records: &Response) -> Vec<Target> {
        let mut addresses: Vec<IpAddr> =
            records.additional.iter().filter(|(h, _)| *h == host).map(|(_, a)| *a).collect();
        if addresses.is_empty() {
            addresses = self.addresses(&host).await.unwrap_or_else(|error| {
                tracing::warn!(%host, %error, "a domain controller of the SRV records has no address");
                Vec::new()
            });
        }
        let target = |address| Target { host: Some(host.clone()), domain: Some(domain.to_owned()), address };
        addresses.into_iter().map(target).collect()
    }

    /// The IPv4 addresses of a host.
    ///
    /// # Errors
    /// Nobody answers, the answer is a refusal, or it holds no address.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let response = self.ask(host, Kind::A).await?;
        let mut found: Vec<IpAddr> = response.addresses().collect();
        found.sort();
        found.dedup();
        if found.is_empty() {
            return Err(ResolveError::Empty { name: host.to_owned(), what: "IPv4 address" });
        }
        Ok(found)
    }

    /// Whether a name below this one that nobody has is given an address: then an address says nothing.
    pub async fn answers_anything(&self, name: &str) -> bool {
        let random = format!("sekisho-{}.{name}", uuid::Uuid::new_v4().simple());
        self.addresses(&random).await.is_ok()
    }

    /// Asks one server after the other; the next one's turn comes when an answer is a refusal or keeps its asker waiting.
    async fn ask(&self, name: &str, kind: Kind) -> Result<Response, ResolveError> {
        let question = Question::new(name, kind).map_err(|_| ResolveError::BadName(name.to_owned()))?;
        let mut refused = None;
        let mut waiting = self.servers.iter();
        let mut asking = FuturesUnordered::new();
        loop {
            if let Some(server) = waiting.next() {
                let (client, question) = (&self.client, &question);
                asking.push(async move { (server, client.ask(*server, question).await) });
            }
            let patience = if waiting.len() > 0 { HEAD_START } else { Duration::MAX };
            match timeout(patience, asking.next()).await {
                Ok(Some((_, Ok(answer)))) if answer.reply.rcode == 0 => return Ok(answer.reply),
                Ok(Some((server, Ok(answer)))) => {
                    let rcode = dns::rcode_name(answer.reply.rcode);
                    refused =
                        Some(ResolveError::Refused { name: name.to_owned(), server: server.ip(), rcode });
                }
                Ok(Some((server, Err(error)))) => tracing::debug!(%server, name, ?error, "no answer"),
                Ok(None) if waiting.len() == 0 => break,
                Ok(None) | Err(_) => {}
            }
        }
        let servers: Vec<String> = self.servers.iter().map(|s| s.ip().to_string()).collect();
        let silent = ResolveError::Silent { name: name.to_owned(), servers: servers.join(", ") };
        Err(refused.unwrap_or(silent))
    }
}
