//! Which names a computer of a domain can have.

/// Characters of the longest name: a NetBIOS name has 16 octets, and the last tells its kind.
const LONGEST: usize = 15;
/// Characters that Windows refuses (Microsoft Learn, "Naming conventions in Active Directory for computers, domains, sites,
/// and OUs").
const REFUSED: &str = "\\/:*?\"<>|,~!@#$%^&'(){}";

/// The host name of a computer: 1 to 15 characters, upper case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComputerName(String);

/// Why a text is no computer's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Empty, or too long.
    #[error("it must have 1 to {LONGEST} characters")]
    Length,
    /// A character that Windows refuses.
    #[error("it must not contain {0:?}")]
    Character(char),
    /// A dot: the name is the host's alone.
    #[error("it must be the host name alone, without a domain")]
    Domain,
    /// Only digits.
    #[error("it must not consist of digits alone")]
    Digits,
    /// A hyphen at an end.
    #[error("it must not begin or end with a hyphen")]
    Hyphen,
}

impl ComputerName {
    /// Checks a name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(name: &str) -> Result<Self, BadName> {
        if name.contains('.') {
            return Err(BadName::Domain);
        }
        if !(1..=LONGEST).contains(&name.chars().count()) {
            return Err(BadName::Length);
        }
        let refused = |c: char| c.is_control() || c.is_whitespace() || REFUSED.contains(c);
        if let Some(character) = name.chars().find(|c| refused(*c)) {
            return Err(BadName::Character(character));
        }
        if name.chars().all(|c| c.is_ascii_digit()) {
            return Err(BadName::Digits);
        }
        if name.starts_with('-') || name.ends_with('-') {
            return Err(BadName::Hyphen);
        }
        Ok(Self(name.to_uppercase()))
    }

    /// The name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0
    }

    /// The account that a join makes for it: the name with a dollar sign.
    #[must_use]
    pub fn account(&self) -> String {
        format!("{}$", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_or_refused() {
        for (name, result) in [
            ("pc8", Ok("PC8$")),
            ("A", Ok("A$")),
            ("WEB-01", Ok("WEB-01$")),
            ("my_pc", Ok("MY_PC$")),
            ("123456789012345", Err(BadName::Digits)),
            ("12345678901234A", Ok("12345678901234A$")),
            ("12345678901234AB", Err(BadName::Length)),
            ("", Err(BadName::Length)),
            ("pc8.corp.example", Err(BadName::Domain)),
            (".pc8", Err(BadName::Domain)),
            ("-pc", Err(BadName::Hyphen)),
            ("pc-", Err(BadName::Hyphen)),
            ("pc 8", Err(BadName::Character(' '))),
            ("pc8$", Err(BadName::Character('$'))),
            ("a\\b", Err(BadName::Character('\\'))),
            ("a\u{0}b", Err(BadName::Character('\0'))),
            ("営業部01", Ok("営業部01$")),
        ] {
            assert_eq!(
                ComputerName::new(name).map(|name| name.account()),
                result.map(str::to_owned),
                "{name:?}"
            );
        }
    }

    #[test]
    fn the_fault_is_told() {
        assert_eq!(BadName::Character('"').to_string(), r#"it must not contain '"'"#);
        assert_eq!(BadName::Length.to_string(), "it must have 1 to 15 characters");
    }
}
