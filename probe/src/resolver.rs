//! DNS for discovery: UDP, with TCP when an answer does not fit (RFC 7766), every try from a fresh port.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use sekisho_checks::wire::dns::{self, Kind, Question, Record, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::runner::Target;

/// Tries per server, and how long each waits.
const WAITS: [Duration; 3] =
    [Duration::from_millis(700), Duration::from_millis(1_500), Duration::from_secs(3)];
/// Most servers asked.
const SERVERS: usize = 4;
/// Most domain controllers taken from an answer.
const CONTROLLERS: usize = sekisho_proto::limits::TARGETS_PER_DISCOVERY;
const DNS: u16 = 53;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
}

impl Resolver {
    /// Asks these servers, in this order.
    #[must_use]
    pub fn of(servers: &[IpAddr]) -> Self {
        Self { servers: servers.iter().take(SERVERS).map(|ip| SocketAddr::new(*ip, DNS)).collect() }
    }

    /// Asks the servers that this host uses, from `/etc/resolv.conf`.
    ///
    /// # Errors
    /// The file cannot be read or names no server.
    pub fn system() -> Result<Self, ResolveError> {
        Self::from_file(Path::new("/etc/resolv.conf"))
    }

    fn from_file(path: &Path) -> Result<Self, ResolveError> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| ResolveError::NoServer(format!("cannot read {name}: {e}; name one with --dns")))?;
        let servers: Vec<IpAddr> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("nameserver"))
            .filter_map(|rest| rest.trim().parse().ok())
            .collect();
        if servers.is_empty() {
            return Err(ResolveError::NoServer(format!("{name} names none; name one with --dns")));
        }
        Ok(Self::of(&servers))
    }

    /// Who is asked.
    #[must_use]
    pub fn servers(&self) -> Vec<IpAddr> {
        self.servers.iter().map(SocketAddr::ip).collect()
    }

    /// The domain controllers that the SRV records of a domain name (MS-ADTS 6.3.6.1), with their addresses.
    ///
    /// # Errors
    /// Nobody answers, the answer is a refusal, or it names nobody that has an address.
    pub async fn domain_controllers(&self, domain: &str) -> Result<Vec<Target>, ResolveError> {
        let name = format!("_ldap._tcp.dc._msdcs.{domain}");
        let response = self.ask(&name, Kind::Srv).await?;
        let mut hosts: Vec<String> = response
            .answers
            .iter()
            .filter_map(|record| match record {
                Record::Srv { target, .. } => Some(target.clone()),
                Record::Address(_) | Record::Other => None,
            })
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts.truncate(CONTROLLERS);
        if hosts.is_empty() {
            return Err(ResolveError::Empty { name, what: "SRV record" });
        }
        let mut found = Vec::new();
        for host in hosts {
            let mut addresses: Vec<IpAddr> =
                response.additional.iter().filter(|(h, _)| *h == host).map(|(_, a)| *a).collect();
            if addresses.is_empty() {
                addresses = self.addresses(&host).await.unwrap_or_else(|error| {
                    tracing::warn!(%host, %error, "a domain controller of the SRV records has no address");
                    Vec::new()
                });
            }
            found.extend(addresses.into_iter().map(|address| Target {
                host: Some(host.clone()),
                domain: Some(domain.to_owned()),
                address,
            }));
        }
        found.truncate(CONTROLLERS);
        if found.is_empty() {
            return Err(ResolveError::Empty { name, what: "domain controller with an address" });
        }
        Ok(found)
    }

    /// The IPv4 addresses of a host.
    ///
    /// # Errors
    /// Nobody answers, the answer is a refusal, or it holds no address.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let response = self.ask(host, Kind::A).await?;
        let mut found: Vec<IpAddr> = response
            .answers
            .iter()
            .filter_map(|record| match record {
                Record::Address(address) => Some(*address),
                Record::Srv { .. } | Record::Other => None,
            })
            .collect();
        found.sort();
        found.dedup();
        if found.is_empty() {
            return Err(ResolveError::Empty { name: host.to_owned(), what: "IPv4 address" });
        }
        Ok(found)
    }

    async fn ask(&self, name: &str, kind: Kind) -> Result<Response, ResolveError> {
        let question = Question::new(name, kind).map_err(|_| ResolveError::BadName(name.to_owned()))?;
        let mut refused = None;
        for wait in WAITS {
            for server in &self.servers {
                match ask_one(*server, &question, wait).await {
                    Ok(response) if response.rcode == 0 => return Ok(response),
                    Ok(response) => {
                        let rcode = dns::rcode_name(response.rcode);
                        refused =
                            Some(ResolveError::Refused { name: name.to_owned(), server: server.ip(), rcode });
                    }
                    Err(error) => tracing::debug!(%server, name, %error, "no answer"),
                }
            }
            if let Some(refused) = refused {
                return Err(refused);
            }
        }
        let servers: Vec<String> = self.servers.iter().map(|s| s.ip().to_string()).collect();
        Err(ResolveError::Silent { name: name.to_owned(), servers: servers.join(", ") })
    }
}

async fn ask_one(server: SocketAddr, question: &Question, wait: Duration) -> io::Result<Response> {
    let id = u16::try_from(uuid::Uuid::new_v4().as_u128() & 0xffff).unwrap_or(0);
    let query = dns::query(id, question, true).map_err(io::Error::other)?;
    let response = timeout(wait, over_udp(server, &query, id, question)).await??;
    if response.truncated {
        return timeout(wait, over_tcp(server, &query, id, question)).await?;
    }
    Ok(response)
}

async fn over_udp(server: SocketAddr, query: &[u8], id: u16, question: &Question) -> io::Result<Response> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4_096];
    loop {
        let count = socket.recv(&mut buffer).await?;
        // Anything else is late or forged: whoever sent it does not know the id.
        if let Ok(Some(response)) = dns::decode(buffer.get(..count).unwrap_or_default(), id, question) {
            return Ok(response);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &[u8], id: u16, question: &Question) -> io::Result<Response> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&dns::framed(query)).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    let response = dns::decode(&message, id, question).map_err(io::Error::other)?;
    response.ok_or_else(|| io::Error::other("the response is to another query"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_a_resolv_conf() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        std::fs::write(
            &path,
            "# x\nsearch corp.example\nnameserver 10.0.0.1\n nameserver  fd00::1 \nnameserver junk\n",
        )
        .unwrap();
        let servers = Resolver::from_file(&path).unwrap().servers();
        assert_eq!(servers, ["10.0.0.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
        std::fs::write(&path, "options edns0\n").unwrap();
        assert!(matches!(Resolver::from_file(&path), Err(ResolveError::NoServer(_))));
    }
}
