//! Facts that must be found.

use std::{collections::BTreeMap, fmt};

use sekisho_model::{Fact, Facts};
use serde::{Deserialize, Serialize};

/// What a fact must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    /// This value. `false` is also met by a fact that is not there.
    Exactly(Fact),
    /// A number that is not far from this one.
    Near(Near),
    /// Any other value than this one, or none.
    Not(Not),
}

/// A value that would be untrue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Not {
    not: Fact,
}

/// A number, and how far from it another one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Near {
    near: i64,
    within: u64,
}

/// The facts that must be found, by name. Others may be there too.
pub type WantedFacts = BTreeMap<String, Wanted>;

impl Wanted {
    /// Whether the fact that was found is as it must be.
    #[must_use]
    pub fn is_met(&self, found: Option<&Fact>) -> bool {
        match (self, found) {
            (Self::Exactly(Fact::Flag(false)), None) => true,
            (Self::Exactly(wanted), Some(found)) => wanted == found,
            (Self::Near(range), Some(Fact::Integer(found))) => found.abs_diff(range.near) <= range.within,
            (Self::Not(Not { not }), found) => found != Some(not),
            _ => false,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(fact) => write!(f, "{fact}"),
            Self::Near(Near { near, within }) => write!(f, "{near}±{within}"),
            Self::Not(Not { not }) => write!(f, "not {not}"),
        }
    }
}

/// The facts that are not as they must be: name, what it must be, what it is.
pub fn unmet<'a>(
    wanted: &'a WantedFacts,
    found: &'a Facts,
) -> impl Iterator<Item = (&'a str, &'a Wanted, Option<&'a Fact>)> {
    let one = |(name, wanted): (&'a String, &'a Wanted)| (name.as_str(), wanted, found.get(name));
    wanted.iter().map(one).filter(|(_, wanted, found)| !wanted.is_met(*found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Holder {
        facts: WantedFacts,
    }

    fn wanted(facts: &str) -> WantedFacts {
        toml::from_str::<Holder>(&format!("facts = {{ {facts} }}")).unwrap().facts
    }

    fn names(wanted: &WantedFacts, found: &Facts) -> Vec<String> {
        unmet(wanted, found).map(|(name, ..)| name.to_owned()).collect()
    }

    #[test]
    fn values_must_be_equal_and_numbers_may_be_near() {
        let wanted =
            wanted("reason = \"narrow-path\", path-mtu = 1280, offset-seconds = { near = 420, within = 3 }");
        let mut found = Facts::from([
            ("reason".to_owned(), "narrow-path".into()),
            ("path-mtu".to_owned(), 1280.into()),
            ("offset-seconds".to_owned(), 417.into()),
            ("interface-mtu".to_owned(), 1500.into()),
        ]);
        assert_eq!(names(&wanted, &found), Vec::<String>::new());
        found.insert("offset-seconds".to_owned(), 424.into());
        found.insert("path-mtu".to_owned(), "1280".into());
        found.remove("reason");
        assert_eq!(names(&wanted, &found), ["offset-seconds", "path-mtu", "reason"]);
    }

    #[test]
    fn a_flag_that_must_not_be_set_may_be_left_out() {
        let wanted = wanted("intermittent = false");
        assert_eq!(names(&wanted, &Facts::new()), Vec::<String>::new());
        assert_eq!(
            names(&wanted, &Facts::from([("intermittent".to_owned(), true.into())])),
            ["intermittent"]
        );
    }

    #[test]
    fn a_value_may_be_forbidden() {
        let wanted = wanted("data = { not = \"acknowledged\" }");
        let found = |data: &str| Facts::from([("data".to_owned(), data.into())]);
        assert_eq!(names(&wanted, &Facts::new()), Vec::<String>::new());
        assert_eq!(names(&wanted, &found("dropped")), Vec::<String>::new());
        assert_eq!(names(&wanted, &found("acknowledged")), ["data"]);
    }

    #[test]
    fn a_range_is_whole() {
        assert!(toml::from_str::<Holder>("facts = { a = { near = 1 } }").is_err());
        assert!(toml::from_str::<Holder>("facts = { a = { near = 1, within = 1, unit = \"s\" } }").is_err());
    }
}
