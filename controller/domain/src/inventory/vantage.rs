//! Places that probes stand for.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{Entry, Fields, Label, Name, address::Subnet, map_text};

/// One vantage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vantage {
    /// Its name.
    pub name: Name,
    /// Its subnet.
    pub subnet: Option<IpNet>,
    /// Its VLAN id.
    pub vlan: Option<i32>,
    /// Where it is.
    pub site: Option<Label>,
    /// Anything else that policies select by.
    pub labels: BTreeMap<String, String>,
    /// New attempts per second over its link, of all of its probes together. Unless the file says, only the probes' own rates.
    pub budget: Option<u32>,
}

/// Labels whose names mean something else in a policy.
const RESERVED: [&str; 4] = ["vantage", "site", "vlan", "subnet"];

impl Vantage {
    pub(super) fn read(fields: &mut Fields<'_, '_, '_, '_>) -> Option<Self> {
        let name = fields.required("name");
        let subnet = fields.optional::<Subnet>("subnet");
        let vlan = fields.integer("vlan", 1, 4094);
        let site = fields.optional("site");
        let labels = fields.map("labels");
        let budget = fields.budget();
        let labels = labels?;
        if let Some(reserved) = RESERVED.iter().find(|name| labels.contains_key(**name)) {
            fields.fault("labels", format!("a label cannot be named \"{reserved}\""));
        }
        Some(Self {
            name: name?,
            subnet: subnet.ok()?.map(|subnet| subnet.0),
            vlan: vlan.ok()?,
            site: site.ok()?,
            labels,
            budget: budget.ok()?,
        })
    }
}

impl Entry for Vantage {
    const NOUN: &'static str = "vantage";

    fn key(&self) -> String {
        self.name.to_string()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        fields.extend(self.subnet.map(|subnet| ("subnet", subnet.to_string())));
        fields.extend(self.vlan.map(|vlan| ("vlan", vlan.to_string())));
        fields.extend(self.site.as_ref().map(|site| ("site", site.to_string())));
        if !self.labels.is_empty() {
            fields.push(("labels", map_text(&self.labels)));
        }
        fields.extend(self.budget.map(|budget| ("budget", budget.to_string())));
        fields
    }
}
