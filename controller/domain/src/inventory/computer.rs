//! Computers whose accounts are looked for in every sweep of their domain.

use sekisho_model::ComputerName;

use super::{DnsName, Entry, Fields, known::listed};

/// One computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computer {
    /// Its name.
    pub name: ComputerName,
    /// Its domain.
    pub domain: DnsName,
}

impl Computer {
    pub(super) fn read(fields: &mut Fields<'_, '_, '_, '_>) -> Option<Self> {
        let name = fields.required("name");
        let domain: Option<DnsName> = fields.required("domain");
        let domain = domain?;
        if !fields.known.domains.contains(domain.as_str()) {
            let known = listed(&fields.known.domains);
            fields.fault("domain", format!("there is no [[domain]] \"{domain}\"; domains are {known}"));
        }
        Some(Self { name: name?, domain })
    }
}

impl Entry for Computer {
    const NOUN: &'static str = "computer";

    fn key(&self) -> String {
        format!("{} ({})", self.name, self.domain)
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
