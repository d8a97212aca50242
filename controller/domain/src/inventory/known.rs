//! What a file names anywhere, so that references can be checked wherever they stand.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::DnsName;

/// Names in a file, also of entries that have other faults: one mistake gives one message.
pub(super) struct Known {
    pub(super) domains: BTreeSet<String>,
    /// Domains for which targets are listed.
    pub(super) domains_with_targets: BTreeSet<String>,
    pub(super) vantages: BTreeSet<String>,
    pub(super) sites: BTreeSet<String>,
    pub(super) labels: BTreeSet<String>,
    pub(super) profiles: BTreeSet<String>,
}

impl Known {
    pub(super) fn of(document: &DeTable<'_>) -> Self {
        Self {
            domains: names(document, "domain", "name"),
            domains_with_targets: names(document, "target", "domain"),
            vantages: texts(document, "vantage", "name").map(str::to_owned).collect(),
            sites: texts(document, "vantage", "site").map(str::to_owned).collect(),
            labels: values(document, "vantage", "labels")
                .filter_map(DeValue::as_table)
                .flat_map(|table| table.keys().map(|key| key.get_ref().to_string()))
                .collect(),
            profiles: texts(document, "profile", "name").map(str::to_owned).collect(),
        }
    }
}

fn values<'t, 'i>(
    document: &'t DeTable<'i>,
    noun: &str,
    field: &'static str,
) -> impl Iterator<Item = &'t DeValue<'i>> {
    document
        .get(noun)
        .and_then(|value| value.get_ref().as_array())
        .into_iter()
        .flatten()
        .filter_map(move |entry| Some(entry.get_ref().as_table()?.get(field)?.get_ref()))
}

fn texts<'t>(document: &'t DeTable<'_>, noun: &str, field: &'static str) -> impl Iterator<Item = &'t str> {
    values(document, noun, field).filter_map(DeValue::as_str)
}

/// DNS names, in the form in which they are compared.
fn names(document: &DeTable<'_>, noun: &str, field: &'static str) -> BTreeSet<String> {
    texts(document, noun, field)
        .map(|text| text.parse::<DnsName>().map_or_else(|_| text.to_owned(), String::from))
        .collect()
}

/// A list for an error message; long ones are cut.
pub(super) fn listed(words: &BTreeSet<String>) -> String {
    const MOST: usize = 20;
    let head: Vec<&str> = words.iter().take(MOST).map(String::as_str).collect();
    match words.len().saturating_sub(MOST) {
        0 if head.is_empty() => "none".to_owned(),
        0 => head.join(", "),
        more => format!("{} and {more} more", head.join(", ")),
    }
}
