//! Active Directory domains.

use std::net::IpAddr;

use super::{DnsName, Entry, Fields, address::HostAddress, list_text};

/// One domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// DNS name.
    pub name: DnsName,
    /// Resolvers that probes ask; empty: each probe's own.
    pub dns_servers: Vec<IpAddr>,
    /// Ask the SRV records for targets before each sweep. Unless the file says: when it lists no target.
    pub discover: bool,
    /// New attempts per second to each of its targets that says nothing else.
    pub budget: Option<u32>,
}

impl Domain {
    pub(super) fn read(fields: &mut Fields<'_, '_, '_, '_>) -> Option<Self> {
        let name: Option<DnsName> = fields.required("name");
        let dns_servers: Option<Vec<HostAddress>> = fields.list("dns_servers");
        let discover = fields.flag("discover");
        let budget = fields.budget();
        let name = name?;
        let listed = fields.known.domains_with_targets.contains(name.as_str());
        let discover = discover.ok()?.unwrap_or(!listed);
        if !discover && !listed {
            fields
                .fault("discover", "is false, and no [[target]] names this domain: nothing could be tested");
        }
        let dns_servers = dns_servers?.into_iter().map(|server| server.0).collect();
        Some(Self { name, dns_servers, discover, budget: budget.ok()? })
    }
}

impl Entry for Domain {
    const NOUN: &'static str = "domain";

    fn key(&self) -> String {
        self.name.to_string()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![("discover", self.discover.to_string())];
        if !self.dns_servers.is_empty() {
            fields.push(("dns_servers", list_text(&self.dns_servers)));
        }
        fields.extend(self.budget.map(|budget| ("budget", budget.to_string())));
        fields
    }
}
