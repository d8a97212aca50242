//! What should be open and what should not.

use std::{collections::BTreeMap, str::FromStr};

use sekisho_model::{BuiltIn, Service};
use serde::{Deserialize, Serialize};

use super::{DnsName, Entry, Fields, Name, known::listed, list_text, map_text};

/// What a policy expects of its flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expectation {
    /// They are open.
    Allow,
    /// They are blocked.
    Deny,
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Deny),
            _ => Err(format!("{word:?} is not allowed; it is \"allow\" or \"deny\"")),
        }
    }
}

/// Which services a policy speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// Those of a profile.
    Profile(Name),
    /// These.
    Services(Vec<Service>),
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: Name,
    /// Which vantages: `vantage`, `site`, `vlan`, `subnet`, or any label. Empty: all.
    pub from: BTreeMap<String, String>,
    /// Which targets: `domain`, `target`. Empty: all.
    pub to: BTreeMap<String, String>,
    /// Which services.
    pub coverage: Coverage,
    /// What it expects.
    pub expect: Expectation,
}

impl Policy {
    pub(super) fn read(fields: &mut Fields<'_, '_, '_, '_>) -> Option<Self> {
        let name = fields.required("name");
        let from = fields.map("from").map(|from| check_from(fields, from));
        let to = fields.map("to").map(|to| check_to(fields, to));
        let profile = profile(fields);
        let services = fields.list("services");
        let expect = fields.required("expect");
        let coverage = match (profile.ok()?, services?) {
            (Some(profile), services) if services.is_empty() => Coverage::Profile(profile),
            (None, services) if !services.is_empty() => Coverage::Services(services),
            (Some(_), _) => {
                fields.fault("services", "a policy has either a profile or services, not both");
                return None;
            }
            (None, _) => {
                fields.fault("services", "is missing: give a profile, or services = [\"smb\"]");
                return None;
            }
        };
        Some(Self { name: name?, from: from?, to: to?, coverage, expect: expect? })
    }
}

/// Field `profile`, which has to name a built-in profile or one of the file.
pub(super) fn profile(fields: &mut Fields<'_, '_, '_, '_>) -> Result<Option<Name>, ()> {
    let profile: Option<Name> = fields.optional("profile")?;
    if let Some(name) = &profile
        && BuiltIn::named(name.as_str()).is_none()
        && !fields.known.profiles.contains(name.as_str())
    {
        let built_in = BuiltIn::ALL.map(|profile| profile.name().to_owned());
        let (built_in, own) = (built_in.join(", "), listed(&fields.known.profiles));
        fields.fault(
            "profile",
            format!("there is no profile \"{name}\"; profiles are {built_in}; in this file: {own}"),
        );
    }
    Ok(profile)
}

fn check_from(
    fields: &mut Fields<'_, '_, '_, '_>,
    from: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    for (key, value) in &from {
        let known = fields.known;
        match key.as_str() {
            "vantage" if !known.vantages.contains(value) => {
                let vantages = listed(&known.vantages);
                fields.fault("from", format!("there is no [[vantage]] \"{value}\"; vantages are {vantages}"));
            }
            "site" if !known.sites.contains(value) => {
                let sites = listed(&known.sites);
                fields.fault("from", format!("no [[vantage]] has the site \"{value}\"; sites are {sites}"));
            }
            "vlan" if value.parse::<u16>().map_or(true, |id| !(1..=4094).contains(&id)) => {
                fields.fault(
                    "from",
                    format!("vlan: \"{value}\" is not allowed; it is a number from 1 to 4094"),
                );
            }
            "subnet" if value.parse::<ipnet::IpNet>().is_err() => {
                fields.fault("from", format!("subnet: \"{value}\" is not a subnet such as 10.77.20.0/24"));
            }
            "vantage" | "site" | "vlan" | "subnet" => {}
            label if !known.labels.contains(label) => {
                let labels = listed(&known.labels);
                fields.fault(
                    "from",
                    format!(
                        "no [[vantage]] has a label \"{label}\"; use vantage, site, vlan, subnet, or a label: {labels}"
                    ),
                );
            }
            _ => {}
        }
    }
    from
}

fn check_to(fields: &mut Fields<'_, '_, '_, '_>, to: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut checked = BTreeMap::new();
    for (key, value) in to {
        let name = value.parse::<DnsName>();
        let value = name.map_or_else(|_| value, String::from);
        let known = fields.known;
        match key.as_str() {
            "domain" if !known.domains.contains(&value) => {
                let domains = listed(&known.domains);
                fields.fault("to", format!("there is no [[domain]] \"{value}\"; domains are {domains}"));
            }
            // A target may also come from discovery, so its name is not checked against the file's list.
            "domain" | "target" => {}
            _ => fields.fault("to", format!("\"{key}\" is not allowed; use domain or target")),
        }
        checked.insert(key, value);
    }
    checked
}

impl Entry for Policy {
    const NOUN: &'static str = "policy";

    fn key(&self) -> String {
        self.name.to_string()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        if !self.from.is_empty() {
            fields.push(("from", map_text(&self.from)));
        }
        if !self.to.is_empty() {
            fields.push(("to", map_text(&self.to)));
        }
        fields.push(match &self.coverage {
            Coverage::Profile(name) => ("profile", name.to_string()),
            Coverage::Services(services) => ("services", list_text(services)),
        });
        fields.push(("expect", self.expect.to_string()));
        fields
    }
}
