//! Whether the account may make a computer account: by the right to create one, or by its quota.

use sekisho_model::CheckStatus;

use super::{Joiner, tally::Tally};

/// What a join shows when the quota is used up, and when the user right to use it is missing.
const QUOTA_EXCEEDED: (i64, &str) = (8557, "ERROR_DS_MACHINE_ACCOUNT_QUOTA_EXCEEDED");

/// Where computer accounts are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    /// It is there.
    Found {
        /// Its distinguished name.
        dn: String,
        /// Its `allowedChildClassesEffective` (MS-ADTS 3.1.1.4.5.5) has `computer`: this account may create one there.
        may_create: bool,
    },
    /// It is not there, or this account may not see it.
    Missing,
    /// Its name is no distinguished name.
    Malformed,
    /// It lies in another domain.
    Elsewhere,
    /// The server does not say; the result code (RFC 4511 A.1).
    Refused(i64),
}

/// How many computer accounts the joiner has made by its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// So many.
    Exactly(u32),
    /// So many and more.
    AtLeast(u32),
    /// It could not be counted.
    Unknown,
}

/// The right to make computer accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The organizational unit that was named, or the domain's default container for computers.
    pub container: Container,
    /// The name of the container as it was asked for; `None` for the default one.
    pub chosen: Option<String>,
    /// `ms-DS-MachineAccountQuota` of the domain: accounts that everybody may make. `None` if it could not be read.
    pub quota: Option<i64>,
    /// What is used of it.
    pub used: Used,
}

impl Creation {
    /// `decides`: an account will have to be made.
    pub(super) fn judge(&self, joiner: &Joiner, decides: bool, tally: &mut Tally) {
        let is_exempt = joiner.administrators.are_exempt_from_quota(&joiner.token);
        self.facts(is_exempt, tally);
        let may_create = self.container(decides, tally);
        if decides && may_create == Some(false) {
            self.by_quota(is_exempt, tally);
        }
    }

    fn facts(&self, is_exempt: bool, tally: &mut Tally) {
        if let Some(quota) = self.quota {
            tally.fact("quota", quota);
        }
        match self.used {
            Used::Exactly(used) => tally.fact("quota-used", i64::from(used)),
            Used::AtLeast(used) => {
                tally.fact("quota-used", i64::from(used));
                tally.fact("quota-used-at-least", true);
            }
            Used::Unknown => {}
        }
        tally.fact("quota-exempt", is_exempt);
    }

    /// Whether an account may be created in the container; `None` where that cannot be said.
    fn container(&self, decides: bool, tally: &mut Tally) -> Option<bool> {
        let asked = self.chosen.as_deref().unwrap_or("the default container for computers");
        // A container that was named and cannot be had is a problem even where the account exists.
        let (word, detail) = match &self.container {
            Container::Found { dn, may_create } => {
                tally.text("container", dn);
                tally.fact("create-child", *may_create);
                return Some(*may_create);
            }
            Container::Missing => {
                ("container-missing", format!("{asked} is not in the domain, or the account may not see it"))
            }
            Container::Malformed => ("container-malformed", format!("{asked} is not a distinguished name")),
            Container::Elsewhere => ("container-elsewhere", format!("{asked} is not in this domain")),
            Container::Refused(code) => {
                let detail = format!("the domain controller answers {code} to the question about {asked}");
                if decides {
                    tally.because(CheckStatus::Unknown, "container-refused", detail);
                }
                return None;
            }
        };
        tally.text("container", asked);
        let status = if self.chosen.is_some() { CheckStatus::Problem } else { CheckStatus::Unknown };
        tally.because(status, word, detail);
        None
    }

    /// The way of those who may not create: the quota, with a user right that the directory does not show.
    fn by_quota(&self, is_exempt: bool, tally: &mut Tally) {
        let exceeded = match (self.quota, self.used) {
            _ if is_exempt => false,
            (None, _) => {
                let detail =
                    "the account may not create computers, and the quota of the domain cannot be read";
                return tally.because(CheckStatus::Unknown, "quota-unreadable", detail);
            }
            (Some(quota), _) if quota <= 0 => true,
            (Some(quota), Used::Exactly(used) | Used::AtLeast(used)) => i64::from(used) >= quota,
            (Some(_), Used::Unknown) => false,
        };
        if exceeded {
            let detail = "the account may not create computers there, and nothing is left of its quota";
            return tally.fails_with(QUOTA_EXCEEDED, "quota-exceeded", detail);
        }
        tally.fact("quota-path-unproved", true);
        let detail = "the account may not create computers there; a join can succeed by its quota if the account has the \
                      user right to add workstations to the domain, which the directory does not show";
        tally.because(CheckStatus::Warning, "quota-path", detail);
    }
}
