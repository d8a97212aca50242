//! Names of computers: what Windows and DNS allow (Microsoft, "Naming conventions in Active Directory for computers,
//! domains, sites, and OUs").

use sekisho_model::CheckStatus::{Problem, Warning};

use super::Tally;

/// Longest name of a computer in a domain, in characters.
pub const NETBIOS_LETTERS: usize = 15;
/// Longer names are cut before anything is done with them, in octets.
const MAX: usize = 256;

const FORBIDDEN: &str = "\\/:*?\"<>|";
/// Reserved since Windows Server 2008 or longer; those of several words are too long or have a blank, which is said otherwise.
const RESERVED: [&str; 22] = [
    "ANONYMOUS",
    "BATCH",
    "BUILTIN",
    "DIALUP",
    "DOMAIN",
    "ENTERPRISE",
    "INTERACTIVE",
    "INTERNET",
    "LOCAL",
    "NETWORK",
    "NULL",
    "PROXY",
    "RESTRICTED",
    "SELF",
    "SERVER",
    "SERVICE",
    "SYSTEM",
    "USERS",
    "WORLD",
    // RFC 952.
    "GATEWAY",
    "GW",
    "TAC",
];

/// The name of a computer, without a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// A name as somebody typed it; blanks around it and a `$` at its end are left away.
    #[must_use]
    pub fn new(typed: &str) -> Self {
        let bare = typed.trim().trim_end_matches('$');
        let mut name = String::new();
        for letter in bare.chars() {
            if name.len().saturating_add(letter.len_utf8()) > MAX {
                break;
            }
            name.push(letter);
        }
        Self(name)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `NAME$`, as the directory keeps it in sAMAccountName.
    #[must_use]
    pub fn account(&self) -> String {
        format!("{}$", self.0.to_uppercase())
    }

    /// The name within a DNS domain.
    #[must_use]
    pub fn host(&self, domain: &str) -> String {
        format!("{}.{domain}", self.0)
    }

    pub(super) fn judge(&self, tally: &mut Tally) {
        tally.text("computer", &self.0);
        if let Some((word, detail)) = self.is_impossible() {
            tally.because(Problem, word, detail);
        } else if RESERVED.contains(&self.0.to_ascii_uppercase().as_str()) {
            tally.because(Warning, "name-reserved", "the name is a reserved word");
        } else if !self.is_host_name() {
            let detail = "DNS host names have letters, digits and hyphens only, and no hyphen at either end";
            tally.because(Warning, "name-not-dns", detail);
        }
    }

    fn is_impossible(&self) -> Option<(&'static str, &'static str)> {
        let name = &self.0;
        if name.is_empty() {
            Some(("name-empty", "there is no name"))
        } else if name.contains(|c: char| c.is_control() || FORBIDDEN.contains(c)) {
            Some(("name-characters", "no computer's name may have \\ / : * ? \" < > | or control characters"))
        } else if name.starts_with('.') {
            Some(("name-leading-period", "no computer's name may begin with a period"))
        } else if name.chars().count() > NETBIOS_LETTERS {
            Some(("name-too-long", "Windows allows 15 characters in the name of a computer"))
        } else if name.chars().all(|c| c.is_ascii_digit()) {
            Some(("name-all-digits", "a member of a domain cannot have a name of digits only"))
        } else {
            None
        }
    }

    fn is_host_name(&self) -> bool {
        let name = &self.0;
        name.len() >= 2
            && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-')
    }
}
