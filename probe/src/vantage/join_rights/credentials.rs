//! An account, its password, and whom it may be shown to.

use std::{collections::BTreeMap, fmt};

use sekisho_model::{CheckStatus, Facts};
use tokio::sync::{Mutex, MutexGuard};
use zeroize::Zeroizing;

use super::Trust;

/// Longest password, in octets of UTF-8. Active Directory allows 256 characters.
pub(crate) const LONGEST_PASSWORD: usize = 1_024;
/// Longest name of an account and of a container, in octets.
const LONGEST_NAME: usize = 1_024;

/// An account and its password. The password is wiped from memory when this goes.
pub(crate) struct Credentials {
    user: String,
    password: Zeroizing<String>,
    container: Option<String>,
    trust: Trust,
    /// What a domain said to a refused password, by domain.
    refusals: Mutex<BTreeMap<String, (CheckStatus, Facts)>>,
}

impl fmt::Debug for Credentials {
    /// Nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Credentials that cannot be used. The text has nothing of the password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// An empty password would make an anonymous bind of it, which succeeds and proves nothing (RFC 4513 5.1.2).
    #[error("the password is empty")]
    EmptyPassword,
    /// Longer than [`LONGEST_PASSWORD`].
    #[error("the password is longer than {LONGEST_PASSWORD} octets")]
    LongPassword,
    /// Empty, too long, or with control characters.
    #[error(
        "the name of the account or of the container is empty, longer than {LONGEST_NAME} octets, or has control characters"
    )]
    Name,
}

impl Credentials {
    /// `user` is `user@domain`, `DOMAIN\user` or `user`; `container` a distinguished name, `None` for the domain's default
    /// container for computers.
    ///
    /// # Errors
    /// Something is empty, too long or has control characters.
    pub(crate) fn new(
        user: String,
        password: Zeroizing<String>,
        container: Option<String>,
        trust: Trust,
    ) -> Result<Self, Unusable> {
        let is_name = |name: &str| {
            !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(|c: char| c.is_control())
        };
        if !is_name(&user) || container.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(Unusable::Name);
        }
        if password.is_empty() {
            return Err(Unusable::EmptyPassword);
        }
        if password.len() > LONGEST_PASSWORD {
            return Err(Unusable::LongPassword);
        }
        Ok(Self { user, password, container, trust, refusals: Mutex::default() })
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The name in a bind. A bare name is completed: in a bind it is none of the forms that a domain controller knows.
    pub(super) fn bind_name(&self, domain: &str) -> String {
        if self.user.contains(['@', '\\']) { self.user.clone() } else { format!("{}@{domain}", self.user) }
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }

    pub(super) fn container(&self) -> Option<&str> {
        self.container.as_deref()
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(super) async fn refusals(&self) -> MutexGuard<'_, BTreeMap<String, (CheckStatus, Facts)>> {
        self.refusals.lock().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Result<Credentials, Unusable> {
        Credentials::new(user.to_owned(), Zeroizing::new(password.to_owned()), None, Trust::default())
    }

    #[test]
    fn nothing_of_them_is_shown() {
        let shown = format!("{:?}", credentials("operator@corp.example", "S3cret-Word").unwrap());
        assert_eq!(shown, "Credentials(..)");
    }

    #[test]
    fn an_empty_password_is_refused() {
        assert_eq!(credentials("user", "").unwrap_err(), Unusable::EmptyPassword);
        assert_eq!(credentials("user", &"x".repeat(2000)).unwrap_err(), Unusable::LongPassword);
        assert_eq!(credentials("", "x").unwrap_err(), Unusable::Name);
        assert_eq!(credentials("us\ner", "x").unwrap_err(), Unusable::Name);
    }

    #[test]
    fn a_bare_name_is_completed() {
        for (user, name) in [("u", "u@corp.example"), ("u@other", "u@other"), ("CORP\\u", "CORP\\u")] {
            assert_eq!(credentials(user, "x").unwrap().bind_name("corp.example"), name);
        }
    }
}
