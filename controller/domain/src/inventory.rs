//! The inventory: what a network looks like, declared in a TOML file.
//!
//! [`Inventory::parse`] gives either a whole inventory whose every value is checked, or every fault it found.

mod address;
mod computer;
mod domain;
mod fault;
mod fields;
mod known;
mod name;
mod policy;
mod profile;
mod schedule;
mod target;
mod vantage;

use std::collections::BTreeMap;

use fields::{Fields, Reader};
use known::Known;
use toml::de::DeTable;

pub use address::{HostAddress, NotAHost};
pub use computer::Computer;
pub use domain::Domain;
pub use fault::{Fault, Faults};
pub use name::{BadName, DnsName, Label, Name};
pub use policy::{Coverage, Expectation, Policy};
pub use profile::Profile;
pub use schedule::{CatchUp, Cron, Day, Days, Schedule, Splay, TimeZoneName, Window};
pub use target::Target;
pub use vantage::Vantage;

/// Largest inventory file.
pub const MAX_BYTES: usize = 4 << 20;

/// Names of the tables and the most that a file may have of each.
const TABLES: [(&str, usize); 7] = [
    ("domain", 1_000),
    ("target", 10_000),
    // Each is looked for from every vantage: accounts that are asked for, not a directory that is read out.
    ("computer", 256),
    ("vantage", 10_000),
    ("profile", 1_000),
    ("policy", 10_000),
    ("schedule", 1_000),
];

/// Something that an inventory lists.
pub trait Entry {
    /// Name of its table.
    const NOUN: &'static str;

    /// What tells it from the others of its table.
    fn key(&self) -> String;

    /// Its other fields as text, in the order of the documentation; those that are not set are left out.
    fn fields(&self) -> Vec<(&'static str, String)>;
}

/// Everything that an inventory file declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Active Directory domains.
    pub domains: Vec<Domain>,
    /// Domain controllers that are listed by hand.
    pub targets: Vec<Target>,
    /// Computers whose accounts are looked for.
    pub computers: Vec<Computer>,
    /// Places that probes stand for.
    pub vantages: Vec<Vantage>,
    /// The user's own profiles.
    pub profiles: Vec<Profile>,
    /// What should be open and what should not, in the order of the file.
    pub policies: Vec<Policy>,
    /// When to sweep.
    pub schedules: Vec<Schedule>,
}

impl Inventory {
    /// Reads an inventory file. `file` is its name, for error messages.
    ///
    /// # Errors
    /// Every fault in the text, by line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Faults> {
        if text.len() > MAX_BYTES {
            return Err(Faults::one(
                file,
                format!(
                    "the file has {} bytes; an inventory may have at most {} MiB",
                    text.len(),
                    MAX_BYTES >> 20
                ),
            ));
        }
        let mut reader = Reader::new(file, text);
        let document = match DeTable::parse(text) {
            Ok(document) => document.into_inner(),
            Err(error) => {
                let offset = error.span().map(|span| span.start);
                reader.fault(offset, format!("not valid TOML: {}", error.message()));
                return Err(reader.into_faults());
            }
        };
        reader.check_top(&document, &TABLES);
        let known = Known::of(&document);
        let inventory = Self {
            domains: reader.entries(&document, &known, Domain::read),
            targets: reader.entries(&document, &known, Target::read),
            computers: reader.entries(&document, &known, Computer::read),
            vantages: reader.entries(&document, &known, Vantage::read),
            profiles: reader.entries(&document, &known, Profile::read),
            policies: reader.entries(&document, &known, Policy::read),
            schedules: reader.entries(&document, &known, Schedule::read),
        };
        reader.finish().map(|()| inventory)
    }
}

impl Inventory {
    /// Whether it declares nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Text of a map for change lists: `{role = server, tier = 0}`.
fn map_text(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Text of a list for change lists: `[a, b]`.
fn list_text<T: std::fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests;
