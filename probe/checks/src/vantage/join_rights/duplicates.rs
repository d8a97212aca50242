//! Others in the forest that have a name of the computer.

use sekisho_model::CheckStatus::{Problem, Warning};

use super::tally::Tally;

/// So many are named in the facts; the others are counted.
const SHOWN: usize = 3;

/// How far the search went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// The whole forest: a global catalog was asked.
    Forest,
    /// The domain, which is the only one of its forest.
    OnlyDomain,
    /// The domain; the forest has others, or how many it has is not known. In words, why no global catalog was asked.
    Domain(String),
}

/// An object with a name of the computer, which is not the computer's own account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// Its distinguished name.
    pub dn: String,
    /// It has one of the service principal names that a member of this name registers.
    pub spn: bool,
    /// It has the computer's dNSHostName.
    pub host_name: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namesakes {
    /// How far the search went.
    pub extent: Extent,
    /// What it found.
    pub found: Vec<Duplicate>,
}

impl Namesakes {
    pub(super) fn judge(&self, tally: &mut Tally) {
        if let Extent::Domain(why) = &self.extent {
            tally.fact("forest-not-searched", true);
            tally.because(
                Warning,
                "forest-not-searched",
                format!("only the domain was searched for other uses of the name: {why}"),
            );
        }
        if self.found.is_empty() {
            return;
        }
        let count = i64::try_from(self.found.len()).unwrap_or(i64::MAX);
        tally.fact("duplicates", count);
        for (number, duplicate) in (1..).zip(self.found.iter().take(SHOWN)) {
            tally.text(&format!("duplicate-{number}"), &duplicate.dn);
        }
        if self.found.iter().any(|duplicate| duplicate.spn) {
            let detail = "another account has a service principal name that the computer needs, and in a forest each is given once";
            tally.because(Problem, "duplicate-spn", detail);
        } else if self.found.iter().any(|duplicate| duplicate.host_name) {
            tally.because(
                Warning,
                "duplicate-host-name",
                "another account has the DNS host name of the computer",
            );
        } else {
            tally.because(
                Warning,
                "same-name-in-forest",
                "another domain of the forest has a computer of this name",
            );
        }
    }
}
