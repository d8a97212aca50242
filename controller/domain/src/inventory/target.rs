//! Domain controllers that are listed by hand.

use std::net::IpAddr;

use super::{DnsName, Entry, Fields, address::HostAddress, known::listed};

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its domain.
    pub domain: DnsName,
    /// Its host name.
    pub host: DnsName,
    /// Its address.
    pub address: IpAddr,
    /// New attempts per second of the whole fleet, where it is not the domain's.
    pub budget: Option<u32>,
}

impl Target {
    pub(super) fn read(fields: &mut Fields<'_, '_, '_, '_>) -> Option<Self> {
        let domain: Option<DnsName> = fields.required("domain");
        let host = fields.required("host");
        let address: Option<HostAddress> = fields.required("address");
        let budget = fields.budget();
        let domain = domain?;
        if !fields.known.domains.contains(domain.as_str()) {
            let known = listed(&fields.known.domains);
            fields.fault("domain", format!("there is no [[domain]] \"{domain}\"; domains are {known}"));
        }
        Some(Self { domain, host: host?, address: address?.0, budget: budget.ok()? })
    }
}

impl Entry for Target {
    const NOUN: &'static str = "target";

    fn key(&self) -> String {
        format!("{} {} ({})", self.host, self.address, self.domain)
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        self.budget.map(|budget| ("budget", budget.to_string())).into_iter().collect()
    }
}
