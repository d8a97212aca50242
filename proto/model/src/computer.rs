//! Names of computers.

use std::{fmt, str::FromStr};

/// Longest name, bytes: what NetBIOS leaves beside the suffix of a name, and what an account is named after.
const LONGEST: usize = 15;

/// The name of a computer without its domain, in upper case, as its account has it.
///
/// 1 to 15 letters a-z, digits, `-` and `_`, neither digits alone nor with `-` at an end (Microsoft Learn, "Naming
/// conventions in Active Directory for computers, domains, sites, and OUs"). `_` breaks the rules of DNS and exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComputerName(String);

/// A text that is no name of a computer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a computer: {1}")]
pub struct BadComputerName(String, &'static str);

impl ComputerName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ComputerName {
    type Err = BadComputerName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |why| Err(BadComputerName(text.chars().take(4 * LONGEST).collect(), why));
        if text.is_empty() || text.len() > LONGEST {
            return bad("it has 1 to 15 characters, and no domain after it");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return bad("it is made of a-z, 0-9, \"-\" and \"_\", and has no domain after it");
        }
        if text.starts_with('-') || text.ends_with('-') {
            return bad("it does not begin or end with \"-\"");
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return bad("it is not made of digits alone");
        }
        Ok(Self(text.to_ascii_uppercase()))
    }
}

impl fmt::Display for ComputerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_gives_are_accepted_in_upper_case() {
        for name in ["PC8", "pc8", "srv-tokyo-20", "A", "0A", "PC_8", "abcdefghijklmno"] {
            assert_eq!(name.parse::<ComputerName>().unwrap().as_str(), name.to_ascii_uppercase());
        }
    }

    #[test]
    fn what_no_computer_is_named_is_refused() {
        for name in [
            "",
            "abcdefghijklmnop",
            "pc8.corp",
            ".pc8",
            "12345",
            "-pc",
            "pc-",
            "pc 8",
            "pc8$",
            "PC*",
            "a/b",
            "a\\b",
            "a:b",
            "a|b",
            "\"pc\"",
            "サーバー",
            "a\0",
        ] {
            let refused = name.parse::<ComputerName>().unwrap_err().to_string();
            assert!(refused.contains("not the name of a computer"), "{refused}");
        }
    }
}
