//! `join-rights`: may this account join this computer. What the directory said goes in, a status and facts come out.
//!
//! `ok` is said only of what a directory can prove. A user right (SeMachineAccountPrivilege) and a group policy (the list
//! of owners whose accounts may be used again) are not in the directory, so whatever depends on them is a warning.

mod account;
mod bind;
mod creation;
mod duplicates;
mod name;
mod tally;

use sekisho_model::{CheckStatus, Facts};

pub use account::{Account, may_be_used_again};
pub use bind::refused;
pub use creation::{Container, Creation, Used};
pub use duplicates::{Duplicate, Extent, Namesakes};
pub use name::{NETBIOS_LETTERS, Name};
use tally::Tally;

use crate::wire::security::{DOMAIN_ADMINS, ENTERPRISE_ADMINS, Sid};

/// Who joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joiner {
    /// Identifier of the account; `None` where its object was not found in the domain.
    pub sid: Option<Sid>,
    /// Identifiers in its token: its own and those of its groups.
    pub token: Vec<Sid>,
    /// The groups of administrators of this domain and forest.
    pub administrators: Administrators,
}

/// The groups whose members are administrators, as far as the domains' identifiers are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrators {
    /// Identifier of the domain.
    pub domain: Option<Sid>,
    /// Identifier of the root domain of the forest.
    pub root: Option<Sid>,
}

impl Administrators {
    /// Domain Admins, Enterprise Admins or BUILTIN\Administrators.
    fn include(&self, sid: &Sid) -> bool {
        *sid == Sid::builtin_administrators()
            || self.domain.as_ref().is_some_and(|domain| sid.is_in(domain, DOMAIN_ADMINS))
            || self.root.as_ref().is_some_and(|root| sid.is_in(root, ENTERPRISE_ADMINS))
    }

    /// The quota does not bind Domain Admins and BUILTIN\Administrators.
    fn are_exempt_from_quota(&self, token: &[Sid]) -> bool {
        let builtin = Sid::builtin_administrators();
        let is_exempt = |sid: &Sid| {
            *sid == builtin || self.domain.as_ref().is_some_and(|domain| sid.is_in(domain, DOMAIN_ADMINS))
        };
        token.iter().any(is_exempt)
    }
}

/// A computer that is to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computer {
    /// Its name.
    pub name: Name,
    /// The account that has its name in this domain.
    pub account: Option<Account>,
    /// Others in the forest that have its names.
    pub namesakes: Namesakes,
}

/// What the directory said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Who joins.
    pub joiner: Joiner,
    /// Where accounts are made, and whether this one may make them.
    pub creation: Creation,
    /// Which computer, where one was named.
    pub computer: Option<Computer>,
}

/// What the findings come to.
#[must_use]
pub fn judge(findings: &Findings) -> (CheckStatus, Facts) {
    let mut tally = Tally::default();
    if let Some(sid) = &findings.joiner.sid {
        tally.fact("joiner-sid", sid.to_string());
    }
    let computer = findings.computer.as_ref();
    let account = computer.and_then(|computer| computer.account.as_ref());
    // An account that exists is taken over, and none is made: then these are facts that decide nothing.
    findings.creation.judge(&findings.joiner, account.is_none(), &mut tally);
    if let Some(computer) = computer {
        computer.name.judge(&mut tally);
        tally.fact("account-exists", account.is_some());
        if let Some(account) = account {
            account.judge(&findings.joiner, &mut tally);
        }
        computer.namesakes.judge(&mut tally);
    }
    tally.finish()
}

/// What a name that no computer may have comes to; nothing needs to be asked then. `None` for every other name.
#[must_use]
pub fn impossible_name(name: &Name) -> Option<(CheckStatus, Facts)> {
    let mut tally = Tally::default();
    name.judge(&mut tally);
    let (status, facts) = tally.finish();
    (status == CheckStatus::Problem).then_some((status, facts))
}

#[cfg(test)]
mod tests;
