//! What Windows answers to a join.
//!
//! A join stops at the first thing that fails, so only the error of that is told. Without names there is no domain
//! controller to fail at. With them the locator takes one that answers a netlogon ping, so one that does not is no error
//! while another does; a read-only one it does not take.
//!
//! Microsoft's documents (of domain join troubleshooting and of each error) name the errors for packets that are dropped;
//! a refusal that comes back is likely to have the same one. What is only usually seen is `likely` too. Of faults that are
//! in neither table no error is told.

use sekisho_model::{Check, CheckKind, CheckStatus, Fact, Outcome, Service};

use super::{
    Certainty::{self, Documented, Likely},
    WindowsError,
    flows::{Controller, LOCATOR},
};

type Known = (i64, &'static str, Certainty);

const NO_SUCH_DOMAIN: Known = (1_355, "ERROR_NO_SUCH_DOMAIN", Documented);

/// By the check, how it ended, and its reason.
const OF_CHECKS: [(CheckKind, CheckStatus, &str, Known); 14] = {
    use CheckKind::{Resolver, SrvRecords};
    use CheckStatus::{Problem, Warning};
    const LIKELY: Known = (1_355, "ERROR_NO_SUCH_DOMAIN", Likely);
    const NO_ADDRESS: Known = (2_699, "NERR_SetupCheckDNSConfig", Documented);
    [
        (Resolver, Problem, "no-resolver", LIKELY),
        (Resolver, Problem, "no-resolver-answers", NO_SUCH_DOMAIN),
        (Resolver, Problem, "resolver-error", NO_SUCH_DOMAIN),
        (Resolver, Problem, "domain-unknown", NO_SUCH_DOMAIN),
        (Resolver, Problem, "no-dc-records", NO_SUCH_DOMAIN),
        (Resolver, Problem, "external-resolver", NO_SUCH_DOMAIN),
        (SrvRecords, Problem, "no-resolver-answers", NO_SUCH_DOMAIN),
        (SrvRecords, Problem, "resolver-error", NO_SUCH_DOMAIN),
        (SrvRecords, Problem, "missing-records", NO_SUCH_DOMAIN),
        (SrvRecords, Problem, "no-dc-answers", NO_SUCH_DOMAIN),
        (SrvRecords, Problem, "no-writable-dc", LIKELY),
        (SrvRecords, Problem, "no-target-with-address", NO_ADDRESS),
        (SrvRecords, Warning, "targets-without-address", NO_ADDRESS),
        (SrvRecords, Warning, "stale-targets", (1_396, "ERROR_WRONG_TARGET_NAME", Documented)),
    ]
};

/// By the service, in the order in which a join comes upon them.
const OF_SERVICES: [(&str, Known); 7] = [
    (LOCATOR, NO_SUCH_DOMAIN),
    ("smb", (53, "ERROR_BAD_NETPATH", Likely)),
    ("kerberos-tcp", (64, "ERROR_NETNAME_DELETED", Documented)),
    ("ldap", (58, "ERROR_BAD_NET_RESP", Documented)),
    ("rpc-epm", (1_722, "RPC_S_SERVER_UNAVAILABLE", Documented)),
    ("rpc-drs", (1_753, "EPT_S_NOT_REGISTERED", Documented)),
    ("rpc-netlogon", (1_789, "ERROR_TRUSTED_RELATIONSHIP_FAILURE", Likely)),
];

/// The errors to expect, each once.
pub(super) fn expected(controllers: &[Controller<'_>], checks: &[&Check]) -> Vec<WindowsError> {
    let of_checks: Vec<(CheckStatus, WindowsError)> =
        checks.iter().filter_map(|check| of_check(check)).collect();
    let keeps_from_the_start = of_checks.iter().any(|(status, _)| *status == CheckStatus::Problem);
    let mut errors: Vec<WindowsError> = of_checks.into_iter().map(|(_, error)| error).collect();
    if !keeps_from_the_start {
        errors.extend(of_controllers(controllers));
    }
    let mut once: Vec<WindowsError> = Vec::new();
    for error in errors {
        match once.iter_mut().find(|known| known.code == error.code) {
            Some(known) => known.certainty = known.certainty.min(error.certainty),
            None => once.push(error),
        }
    }
    once
}

fn of_check(check: &Check) -> Option<(CheckStatus, WindowsError)> {
    let fact = |name: &str| check.facts.get(name);
    if let (CheckStatus::Problem, Some(Fact::Integer(code)), Some(name)) =
        (check.status, fact("windows-error"), fact("windows-error-name"))
    {
        let error = WindowsError { code: *code, name: name.to_string(), certainty: Documented };
        return Some((check.status, error));
    }
    let reason = fact("reason")?.to_string();
    let row = OF_CHECKS.iter().find(|(kind, status, word, _)| {
        (*kind, *status, *word) == (check.check, check.status, reason.as_str())
    });
    row.map(|(.., known)| (check.status, error(*known)))
}

fn of_controllers(controllers: &[Controller<'_>]) -> Vec<WindowsError> {
    let writable: Vec<&Controller<'_>> =
        controllers.iter().filter(|controller| !controller.is_read_only).collect();
    if writable.is_empty() && !controllers.is_empty() {
        let (code, name, _) = NO_SUCH_DOMAIN;
        return vec![error((code, name, Likely))];
    }
    let is_found =
        |controller: &&Controller<'_>| outcome(controller, LOCATOR).is_none_or(|o| !o.is_blocked());
    let found: Vec<&Controller<'_>> = writable.iter().copied().filter(is_found).collect();
    let tried = if found.is_empty() { writable } else { found };
    let mut errors: Vec<(usize, WindowsError)> =
        tried.iter().filter_map(|controller| first(controller)).collect();
    errors.sort_by_key(|(stage, _)| *stage);
    errors.into_iter().map(|(_, error)| error).collect()
}

/// The error of the first service that is blocked, and its place in the table.
fn first(controller: &Controller<'_>) -> Option<(usize, WindowsError)> {
    for (stage, (service, known)) in OF_SERVICES.iter().enumerate() {
        let Some(outcome) = outcome(controller, service).filter(|outcome| outcome.is_blocked()) else {
            continue;
        };
        let (code, name, certainty) = *known;
        return match outcome {
            Outcome::Filtered => Some((stage, error((code, name, certainty)))),
            Outcome::Closed | Outcome::Rejected | Outcome::Unreachable => {
                Some((stage, error((code, name, Likely))))
            }
            // Nobody has written down what Windows makes of these.
            Outcome::Mute | Outcome::Wrong | Outcome::Open | Outcome::Failed | Outcome::Missed => None,
        };
    }
    None
}

fn outcome(controller: &Controller<'_>, service: &str) -> Option<Outcome> {
    let is_meant = |(known, _): &&(Service, _)| known.name() == service;
    controller.services.iter().find(is_meant).and_then(|(_, flow)| flow.map(|flow| flow.cell.outcome))
}

fn error((code, name, certainty): Known) -> WindowsError {
    WindowsError { code, name: name.to_owned(), certainty }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_the_table_are_required_ones_of_the_catalogue() {
        for (name, _) in OF_SERVICES {
            let service: Service = name.parse().unwrap();
            assert_eq!(service.need(), sekisho_model::Need::Required, "{name}");
        }
    }
}
