//! A computer account that exists: what it is, and whether a join may use it again.

use sekisho_model::CheckStatus::{Problem, Unknown, Warning};

use super::{Joiner, tally::Tally};
use crate::wire::{security::Sid, time::Moment};

/// Bits of `userAccountControl` (MS-ADTS 2.2.16).
const DISABLED: u32 = 0x2;
const INTERDOMAIN_TRUST: u32 = 0x800;
const SERVER_TRUST: u32 = 0x2000;
const PARTIAL_SECRETS: u32 = 0x0400_0000;

/// Classes of managed service accounts: they have the class `computer` and a name with `$`, and are none.
const MANAGED: [&str; 2] = ["msDS-ManagedServiceAccount", "msDS-GroupManagedServiceAccount"];

/// An account with the name that a computer is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its distinguished name.
    pub dn: String,
    /// `objectClass`, from the most general one on.
    pub classes: Vec<String>,
    /// `userAccountControl`; `None` if it could not be read.
    pub control: Option<u32>,
    /// `whenCreated`.
    pub created: Option<Moment>,
    /// `pwdLastSet`.
    pub password_set: Option<Moment>,
    /// `lastLogonTimestamp`; `None` if nobody has logged on with it.
    pub last_logon: Option<Moment>,
    /// `ms-DS-CreatorSID`: who made it by quota.
    pub creator: Option<Sid>,
    /// Owner in its security descriptor.
    pub owner: Option<Sid>,
    /// Groups of creator or owner, in that order; `None` if they could not be read.
    pub maker_groups: Option<Vec<Sid>>,
    /// The joiner may write its dNSHostName and servicePrincipalName (`allowedAttributesEffective`).
    pub may_write: bool,
}

/// Whether Windows lets a join use an account again (Microsoft, KB5020276): the joiner made it, or an administrator did.
/// `None` where neither is proved: an owner may still be on a list in a group policy, which the directory does not show.
#[must_use]
pub fn may_be_used_again(account: &Account, joiner: &Joiner) -> Option<&'static str> {
    let is_admin = |sid: &Sid| joiner.administrators.include(sid);
    if account.creator.is_some() && account.creator == joiner.sid {
        Some("creator")
    } else if account.owner.as_ref().is_some_and(is_admin) {
        Some("owned-by-administrators")
    } else if account.maker_groups.iter().flatten().any(is_admin) {
        Some("made-by-administrator")
    } else {
        None
    }
}

impl Account {
    pub(super) fn judge(&self, joiner: &Joiner, tally: &mut Tally) {
        self.facts(tally);
        if let Some((word, detail)) = self.is_no_member() {
            tally.because(Problem, word, detail);
            return;
        }
        if self.control.is_none() {
            let detail = "userAccountControl of the account cannot be read: it may be a domain controller's";
            tally.because(Unknown, "account-unreadable", detail);
        }
        match may_be_used_again(self, joiner) {
            Some(why) => {
                tally.fact("account-reuse", why);
                self.used_again(tally);
            }
            None => {
                tally.fact("account-reuse", "unproved");
                let detail = "the account exists, and the directory does not show that the joiner or an administrator made it; then a join \
                              fails with 2732 (NERR_AccountReuseBlockedByPolicy) unless a group policy of the domain \
                              controllers lists the account's owner";
                tally.because(Warning, "account-reuse-unproved", detail);
            }
        }
    }

    fn facts(&self, tally: &mut Tally) {
        tally.text("account-dn", &self.dn);
        if let Some(control) = self.control {
            tally.fact("account-control", i64::from(control));
            tally.fact("account-disabled", control & DISABLED != 0);
        }
        for (name, moment) in [
            ("account-created", self.created),
            ("account-password-set", self.password_set),
            ("account-last-logon", self.last_logon),
        ] {
            if let Some(moment) = moment {
                tally.fact(name, moment.rfc3339_seconds());
            }
        }
        for (name, sid) in [("account-creator", &self.creator), ("account-owner", &self.owner)] {
            if let Some(sid) = sid {
                tally.fact(name, sid.to_string());
            }
        }
        tally.fact("account-writable", self.may_write);
    }

    /// An account that no join may take.
    fn is_no_member(&self) -> Option<(&'static str, &'static str)> {
        let has = |class: &str| self.classes.iter().any(|known| known.eq_ignore_ascii_case(class));
        let control = self.control.unwrap_or_default();
        if control & (SERVER_TRUST | PARTIAL_SECRETS) != 0 {
            Some(("name-of-domain-controller", "a domain controller has this name"))
        } else if !has("computer") || MANAGED.into_iter().any(has) || control & INTERDOMAIN_TRUST != 0 {
            Some(("name-taken", "an account that is not a computer's has this name"))
        } else {
            None
        }
    }

    /// The policy allows it; what else stands in the way.
    fn used_again(&self, tally: &mut Tally) {
        if !self.may_write {
            let detail =
                "the joiner may not write host name and service principal names of the account that exists";
            tally.because(Warning, "account-not-writable", detail);
        }
        if self.last_logon.is_some() {
            let detail =
                "a computer has used the account: if it is still a member, a join under its name puts it out";
            tally.because(Warning, "account-in-use", detail);
        }
    }
}
