//! What this probe may do: its own file, which the controller cannot widen.
//!
//! No file, or one that cannot be read or understood, allows nothing.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use ipnet::IpNet;
use sekisho_model::{Protocol, Service, Transport};
use serde::Deserialize;

use crate::runner::Rates;

/// Name of the file in the state directory.
const FILE: &str = "scope.toml";
/// Largest file read, bytes.
const FILE_BYTES: u64 = 256 * 1024;
/// Most rules in one file.
const RULES: usize = 4_096;
/// Port of the endpoint mapper, which tells the port of an RPC interface (MS-RPCE 2.1.1.1).
const ENDPOINT_MAPPER: u16 = 135;

/// One allowance: addresses, and what of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    net: IpNet,
    /// Empty: everything, ICMP echo included.
    ports: Vec<Ports>,
}

/// A part of what a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    Range(u16, u16),
    Icmp,
}

/// A rule that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "\"{rule}\" is not CIDR[:PORTS]: {problem}; examples: 10.0.0.0/24, 10.0.0.10/32:icmp,53,88,135-139, [fd00::/64]:389"
)]
pub struct BadRule {
    rule: String,
    problem: String,
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(rule: &str) -> Result<Self, BadRule> {
        let bad = |problem: String| BadRule { rule: rule.to_owned(), problem };
        let (net, ports) = split(rule).ok_or_else(|| bad("the bracket is not closed".to_owned()))?;
        let net = net
            .parse::<IpNet>()
            .or_else(|_| net.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| bad(format!("\"{net}\" is neither an address nor a network")))?;
        let ports = match ports {
            None => Vec::new(),
            Some(list) => list.split(',').map(|p| ports_of(p).map_err(bad)).collect::<Result<_, _>>()?,
        };
        Ok(Self { net: net.trunc(), ports })
    }
}

/// Splits network and ports. An IPv6 network with ports stands in brackets.
fn split(rule: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = rule.strip_prefix('[') {
        let (net, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(ports) => Some((net, Some(ports))),
            None if rest.is_empty() => Some((net, None)),
            None => None,
        };
    }
    match rule.split_once(':') {
        Some((net, ports)) if !ports.contains(':') => Some((net, Some(ports))),
        _ => Some((rule, None)),
    }
}

fn ports_of(word: &str) -> Result<Ports, String> {
    let word = word.trim();
    if word == "icmp" {
        return Ok(Ports::Icmp);
    }
    let port = |digits: &str| match digits.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("\"{digits}\" is not a port from 1 to 65535")),
    };
    match word.split_once('-') {
        Some((first, last)) => match (port(first)?, port(last)?) {
            (first, last) if first <= last => Ok(Ports::Range(first, last)),
            _ => Err(format!("the range \"{word}\" runs backwards")),
        },
        None => port(word).map(|port| Ports::Range(port, port)),
    }
}

impl Rule {
    fn allows(&self, address: IpAddr, transport: Transport, port: Option<u16>) -> bool {
        let what = |ports: &Ports| match (ports, transport) {
            (Ports::Icmp, Transport::Icmp) => true,
            (Ports::Range(first, last), Transport::Tcp | Transport::Udp) => {
                port.is_some_and(|port| (*first..=*last).contains(&port))
            }
            (Ports::Icmp, _) | (Ports::Range(..), Transport::Icmp) => false,
        };
        self.net.contains(&address) && (self.ports.is_empty() || self.ports.iter().any(what))
    }
}

/// The file as people write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    allow: Vec<String>,
    #[serde(default)]
    rates: FileRates,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRates {
    per_target: Option<u32>,
    burst: Option<u32>,
    total: Option<u32>,
    concurrency: Option<u32>,
}

/// What this probe may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    rules: Vec<Rule>,
    rates: Rates,
    /// Why nothing is allowed, where the file could not be used.
    problem: Option<String>,
}

impl Scope {
    /// Reads the scope of a state directory. Never fails: what cannot be used allows nothing, and says why.
    #[must_use]
    pub fn read(state: &Path) -> Self {
        Self::parse_file(state).unwrap_or_else(|problem| Self {
            rules: Vec::new(),
            rates: Rates::default(),
            problem: Some(problem),
        })
    }

    fn parse_file(state: &Path) -> Result<Self, String> {
        let path = path(state);
        let name = path.display();
        let size = std::fs::metadata(&path).map_err(|e| format!("cannot read {name}: {e}"))?.len();
        if size > FILE_BYTES {
            return Err(format!("{name} has {size} bytes; at most {FILE_BYTES} are read"));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {name}: {e}"))?;
        let file: File = toml::from_str(&text).map_err(|e| format!("{name}: {e}"))?;
        if file.allow.len() > RULES {
            return Err(format!("{name}: {} rules; at most {RULES} are allowed", file.allow.len()));
        }
        let rules = file.allow.iter().map(|rule| rule.parse()).collect::<Result<_, BadRule>>();
        let rules = rules.map_err(|e| format!("{name}, field allow: {e}"))?;
        let default = Rates::default();
        let rates = Rates {
            per_target: file.rates.per_target.unwrap_or(default.per_target),
            burst: file.rates.burst.unwrap_or(default.burst),
            total: file.rates.total.unwrap_or(default.total),
            concurrency: file.rates.concurrency.unwrap_or(default.concurrency),
        };
        Ok(Self { rules, rates, problem: None })
    }

    /// The rates that the file sets.
    #[must_use]
    pub const fn rates(&self) -> Rates {
        self.rates
    }

    /// Why nothing is allowed, where the file could not be used.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// How many rules there are.
    #[must_use]
    pub const fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Whether a service of an address may be tested; the reason if not. A test of an RPC interface begins at the endpoint
    /// mapper; the port that it tells is asked for when it is known.
    ///
    /// # Errors
    /// What forbids it, in words.
    pub fn permit(&self, address: IpAddr, service: Service) -> Result<(), String> {
        let is_rpc = matches!(service.protocol(), Protocol::Rpc(_));
        let port = service.port().or_else(|| is_rpc.then_some(ENDPOINT_MAPPER));
        self.permit_port(address, service.transport(), port)
            .map_err(|why| format!("{service} of {address}: {why}"))
    }

    /// The same for a bare transport and port.
    ///
    /// # Errors
    /// What forbids it, in words.
    pub fn permit_port(
        &self,
        address: IpAddr,
        transport: Transport,
        port: Option<u16>,
    ) -> Result<(), String> {
        if let Some(problem) = &self.problem {
            return Err(format!("nothing is allowed: {problem}"));
        }
        let address = address.to_canonical();
        if self.rules.iter().any(|rule| rule.allows(address, transport, port)) {
            return Ok(());
        }
        Err("no rule of the local scope file allows it".to_owned())
    }
}

/// Where the scope file lies.
#[must_use]
pub fn path(state: &Path) -> PathBuf {
    state.join(FILE)
}

/// The text of a new scope file.
#[must_use]
pub fn file_text(rules: &[String]) -> String {
    let mut text = String::from(
        "# What this probe may do. The controller cannot widen it. Read again before every job.\n\
         # The rates below count from the next start of the probe.\n\
         # CIDR[:PORTS], for example \"10.0.0.0/24\" or \"10.0.0.10/32:icmp,53,88,135,389,445\". Ports that a domain join\n\
         # needs: icmp,53,88,123,135,389,445,464,636,3268-3269, and 49152-65535 for RPC.\n\
         allow = [\n",
    );
    for rule in rules {
        text.push_str(&format!("    {},\n", toml::Value::String(rule.clone())));
    }
    let rates = Rates::default();
    text.push_str(&format!(
        "]\n\n# New attempts per second, and attempts at the same time.\n[rates]\nper_target = {}\nburst = {}\ntotal = {}\n\
         concurrency = {}\n",
        rates.per_target, rates.burst, rates.total, rates.concurrency
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(rules: &[&str]) -> Scope {
        let dir = tempfile::tempdir().unwrap();
        let rules: Vec<String> = rules.iter().map(|r| (*r).to_owned()).collect();
        std::fs::write(path(dir.path()), file_text(&rules)).unwrap();
        Scope::read(dir.path())
    }

    fn may(scope: &Scope, address: &str, service: &str) -> bool {
        scope.permit(address.parse().unwrap(), service.parse().unwrap()).is_ok()
    }

    #[test]
    fn no_file_allows_nothing_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let scope = Scope::read(dir.path());
        let why = scope.permit("10.0.0.1".parse().unwrap(), "smb".parse().unwrap()).unwrap_err();
        assert!(why.contains("scope.toml"), "{why}");
    }

    #[test]
    fn a_damaged_file_allows_nothing() {
        for text in ["allow = [\"10.0.0.0/99\"]", "allow = 3", "", "allow = []\nextra = 1", "\u{0}"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(path(dir.path()), text).unwrap();
            assert!(!may(&Scope::read(dir.path()), "10.0.0.1", "smb"), "{text}");
        }
    }

    #[test]
    fn a_network_allows_all_of_itself_and_nothing_else() {
        let scope = scope(&["10.77.1.0/24"]);
        assert!(may(&scope, "10.77.1.10", "smb") && may(&scope, "10.77.1.10", "icmp"));
        assert!(!may(&scope, "10.77.2.10", "smb"));
    }

    #[test]
    fn ports_narrow_a_network() {
        let scope = scope(&["10.77.1.0/24:53,135-139", "[fd00::/64]:icmp,389"]);
        assert!(may(&scope, "10.77.1.10", "dns-udp") && may(&scope, "10.77.1.10", "tcp/137"));
        assert!(!may(&scope, "10.77.1.10", "smb") && !may(&scope, "10.77.1.10", "icmp"));
        assert!(
            may(&scope, "fd00::5", "icmp")
                && may(&scope, "fd00::5", "ldap")
                && !may(&scope, "fd00::5", "smb")
        );
    }

    #[test]
    fn an_rpc_interface_is_asked_for_at_the_endpoint_mapper() {
        for service in ["rpc-netlogon", "rpc-lsa", "rpc-samr", "rpc-drs"] {
            assert!(may(&scope(&["10.77.1.0/24:135"]), "10.77.1.10", service), "{service}");
            assert!(!may(&scope(&["10.77.1.0/24:49152-65535"]), "10.77.1.10", service), "{service}");
        }
        let ports = scope(&["10.77.1.0/24:135"]);
        let dc = "10.77.1.10".parse().unwrap();
        assert!(
            ports.permit_port(dc, Transport::Tcp, Some(49_671)).is_err(),
            "the port it tells needs a rule too"
        );
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_ipv4() {
        assert!(!may(&scope(&["::/0"]), "::ffff:10.77.1.10", "smb"));
        assert!(may(&scope(&["10.77.1.0/24"]), "::ffff:10.77.1.10", "smb"));
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        for rule in
            ["", "10.0.0.0/8:", "10.0.0.0/8:0", "10.0.0.0/8:9-3", "10.0.0.0/8:http", "[fd00::/64:1", "dc1:53"]
        {
            assert!(rule.parse::<Rule>().is_err(), "{rule}");
        }
    }
}
