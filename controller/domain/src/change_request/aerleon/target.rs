//! What Aerleon can write access lists for.

use std::str::FromStr;

/// A generator of Aerleon, with what it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    known: &'static Known,
    zones: Option<(String, String)>,
}

/// A target that Aerleon cannot write this request for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// There is no such generator.
    #[error("{0:?} is no target that is known here; targets are {list}", list = Target::names().collect::<Vec<_>>().join(", "))]
    Unknown(String),
    /// It writes rules between zones.
    #[error("target {0} writes rules between zones: name them with --from-zone and --to-zone")]
    NeedsZones(&'static str),
    /// It has no zones.
    #[error("target {0} has no zones; --from-zone and --to-zone are for {list}", list = zoned())]
    HasNoZones(&'static str),
    /// The name of a zone cannot be written.
    #[error("zone {0:?}: a zone is named with 1 to 31 of a-z, A-Z, 0-9, \"-\", \"_\" and \".\"")]
    BadZone(String),
    /// It leaves out rules for IPv6.
    #[error("target {0} leaves out rules for IPv6, and this request has some: take another target")]
    NoIpv6(&'static str),
}

/// A generator: its filter options, in which FROM and TO stand for zones.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    name: &'static str,
    ipv4: &'static str,
    ipv6: Option<&'static str>,
}

const fn known(name: &'static str, ipv4: &'static str, ipv6: Option<&'static str>) -> Known {
    Known { name, ipv4, ipv6 }
}

/// Those that were tried with Aerleon 1.18; the first one is the default.
static KNOWN: [Known; 13] = [
    known("nftables", "inet forward ACCEPT", Some("inet6 forward ACCEPT")),
    known("iptables", "FORWARD ACCEPT inet", Some("FORWARD ACCEPT inet6")),
    known("cisco", "sekisho extended", Some("sekisho6 inet6")),
    known("ciscoasa", "sekisho", None),
    known("cisconx", "sekisho extended", Some("sekisho6 inet6")),
    known("ciscoxr", "sekisho extended", Some("sekisho6 inet6")),
    known("arista", "sekisho extended", Some("sekisho6 inet6")),
    known("juniper", "sekisho inet", Some("sekisho6 inet6")),
    known("srx", "from-zone FROM to-zone TO inet", Some("from-zone FROM to-zone TO inet6")),
    known("paloalto", "from-zone FROM to-zone TO inet", Some("from-zone FROM to-zone TO inet6")),
    known("nokiasrl", "inet", Some("inet6")),
    known("packetfilter", "sekisho inet", Some("sekisho inet6")),
    known("windows_advfirewall", "in inet", Some("in inet6")),
];

const LONGEST_ZONE: usize = 31;

fn zoned() -> String {
    let zoned = KNOWN.iter().filter(|known| known.has_zones()).map(|known| known.name);
    zoned.collect::<Vec<_>>().join(", ")
}

impl Known {
    fn has_zones(&self) -> bool {
        self.ipv4.contains("FROM")
    }
}

impl Target {
    /// The names of all targets, the default first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|known| known.name)
    }

    /// A target of this name, between zones where it has them.
    ///
    /// # Errors
    /// When there is none, or zones are wanting or not wanted.
    pub fn new(name: &str, zones: Option<(&str, &str)>) -> Result<Self, BadTarget> {
        let known = KNOWN.iter().find(|known| known.name == name);
        let known = known.ok_or_else(|| BadTarget::Unknown(name.to_owned()))?;
        match zones {
            None if known.has_zones() => return Err(BadTarget::NeedsZones(known.name)),
            Some(_) if !known.has_zones() => return Err(BadTarget::HasNoZones(known.name)),
            None | Some(_) => {}
        }
        let zones = zones.map(|(from, to)| Ok((zone(from)?, zone(to)?))).transpose()?;
        Ok(Self { known, zones })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.known.name
    }

    /// The options of a filter.
    pub(super) fn options(&self, is_ipv6: bool) -> Result<String, BadTarget> {
        let options = if is_ipv6 { self.known.ipv6 } else { Some(self.known.ipv4) };
        let options = options.ok_or(BadTarget::NoIpv6(self.known.name))?;
        Ok(match &self.zones {
            Some((from, to)) => options
                .split(' ')
                .map(|word| match word {
                    "FROM" => from,
                    "TO" => to,
                    word => word,
                })
                .collect::<Vec<_>>()
                .join(" "),
            None => options.to_owned(),
        })
    }

    /// The ICMP types that stand for an echo. The generator for nftables fails at a single one; an echo reply that nobody asked
    /// for says nothing.
    pub(super) fn echo(&self) -> &'static str {
        if self.known.name == "nftables" { "echo-request echo-reply" } else { "echo-request" }
    }
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name, None)
    }
}

fn zone(name: &str) -> Result<String, BadTarget> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_good = (1..=LONGEST_ZONE).contains(&name.len()) && name.chars().all(is_plain);
    if is_good { Ok(name.to_owned()) } else { Err(BadTarget::BadZone(name.to_owned())) }
}
