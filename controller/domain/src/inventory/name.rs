//! Names that an inventory may give.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not the name it should be. Says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(String);

const NAME_LETTERS: usize = 64;
const DNS_BYTES: usize = 253;
const DNS_LABEL_BYTES: usize = 63;

/// What every checked text can do besides being parsed.
macro_rules! text_value {
    ($name:ident) => {
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = <Self as FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}
pub(super) use text_value;

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        text_value!($name);
    };
}

checked_text!(
    /// Name of a vantage, profile, policy or schedule: 1 to 64 letters of any script, digits, `-`, `_` and `.`.
    Name
);

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let stranger = text.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')));
        let length = text.chars().count();
        match stranger {
            Some(c) => Err(BadName(format!(
                "{text:?} has {c:?}; a name is made of letters, digits, \"-\", \"_\" and \".\""
            ))),
            None if length == 0 || length > NAME_LETTERS => {
                Err(BadName(format!("a name has 1 to {NAME_LETTERS} characters, not {length}")))
            }
            None => Ok(Self(text.to_owned())),
        }
    }
}

checked_text!(
    /// Words for people, such as a site or the value of a label: 1 to 64 characters without control characters.
    Label
);

impl FromStr for Label {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length = text.chars().count();
        if text.chars().any(char::is_control) || text.trim() != text {
            Err(BadName(format!("{text:?} has control characters, or blanks at its ends")))
        } else if length == 0 || length > NAME_LETTERS {
            Err(BadName(format!("has 1 to {NAME_LETTERS} characters, not {length}")))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

checked_text!(
    /// A DNS name, in lower case and without a dot at its end.
    DnsName
);

impl FromStr for DnsName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let bad = |why: &str| Err(BadName(format!("{text:?} is not a DNS name: {why}")));
        if name.is_empty() || name.len() > DNS_BYTES {
            return bad("it has 1 to 253 characters");
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > DNS_LABEL_BYTES {
                return bad("each part between dots has 1 to 63 characters");
            }
            if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                return bad("it is made of a-z, 0-9, \"-\", \"_\" and dots");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return bad("no part begins or ends with \"-\"");
            }
        }
        if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            return bad("its last part is a number, as in an address");
        }
        Ok(Self(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_any_script_are_accepted() {
        for name in ["vlan20", "東京-サーバー", "a.b_c-d", &"x".repeat(64)] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        for name in ["", "a b", "a/b", "a\nb", "\u{202e}abc", &"x".repeat(65)] {
            assert!(name.parse::<Name>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn labels_are_words_of_any_script() {
        for label in ["tokyo", "東京・本社（3階）", "a b, \"c\"", &"京".repeat(64)] {
            assert_eq!(label.parse::<Label>().unwrap().as_str(), label);
        }
        for label in ["", " a", "a\u{3000}", "a\nb", "\u{1b}[2J", &"京".repeat(65)] {
            assert!(label.parse::<Label>().is_err(), "{label:?}");
        }
    }

    #[test]
    fn dns_names_are_normalised_and_checked() {
        assert_eq!("CORP.Example.".parse::<DnsName>().unwrap().as_str(), "corp.example");
        for name in ["", ".", "a..b", "-a.b", "a-.b", "a b", "10.0.0.1", "例え.example", &"a".repeat(64)] {
            assert!(name.parse::<DnsName>().is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_parsed_name_parses_to_itself(text in "\\PC{0,70}") {
            if let Ok(name) = text.parse::<DnsName>() {
                prop_assert_eq!(name.as_str().parse::<DnsName>(), Ok(name.clone()));
            }
            if let Ok(name) = text.parse::<Name>() {
                prop_assert_eq!(name.as_str(), text);
            }
        }
    }
}
