//! The checks of the vantage that a command line asks for.

use std::sync::Arc;

use sekisho_model::{Check, CheckKind, CheckStatus};
use tokio::task::JoinSet;

use super::{Args, find::Domains};
use crate::{
    runner::{Engine, Gate, Observed, Target},
    vantage::{self, Credentials, Request},
};

/// Checks under way at the same time; further ones wait. Each holds connections beside the attempts of the flows.
const AT_ONCE: usize = 32;

/// The checks to do, domain by domain. Where only addresses were named and none tells its domain, those that need none.
/// Rights to join are asked in domains that were `named`, because a password goes there.
pub(super) fn requests(args: &Args, known: &Domains, named: &Domains, checks: &[CheckKind]) -> Vec<Request> {
    let mut requests = Vec::new();
    // This host is one, whatever domains it looks at.
    let first = known.keys().find(|domain| !domain.is_empty()).or_else(|| known.keys().next());
    for (domains, secret) in [(known, false), (named, true)] {
        for (domain, targets) in domains {
            let wanted = checks.iter().copied().filter(|check| (*check == CheckKind::JoinRights) == secret);
            for check in wanted.filter(|check| *check != CheckKind::Host || Some(domain) == first) {
                requests.extend(of_domain(args, domain, targets, check));
            }
        }
    }
    requests
}

fn of_domain(args: &Args, domain: &str, targets: &[Target], check: CheckKind) -> Vec<Request> {
    let request = Request {
        number: 0,
        check,
        domain: domain.to_owned(),
        dns_servers: args.dns.clone(),
        targets: Vec::new(),
        target: None,
        computer: None,
    };
    let whole = || Request { targets: targets.to_vec(), ..request.clone() };
    let for_computers = || {
        let named = |name: &String| Request { computer: Some(name.clone()), ..whole() };
        args.computer.iter().map(named).collect()
    };
    match check {
        // They know nothing of the other targets, of which there may be thousands.
        CheckKind::Clock | CheckKind::PathMtu => {
            targets.iter().map(|t| Request { target: Some(t.clone()), ..request.clone() }).collect()
        }
        CheckKind::Resolver | CheckKind::SrvRecords if domain.is_empty() => Vec::new(),
        CheckKind::JoinRights if !args.join.are_given() => Vec::new(),
        CheckKind::ComputerAccount => for_computers(),
        CheckKind::JoinRights if !args.computer.is_empty() => for_computers(),
        CheckKind::Resolver | CheckKind::SrvRecords | CheckKind::Host | CheckKind::JoinRights => {
            vec![whole()]
        }
    }
}

/// Does the checks, and gives them in the order of asking.
pub(super) async fn run(
    engine: Arc<Engine>,
    requests: Vec<Request>,
    credentials: Option<Arc<Credentials>>,
    vantage: String,
) -> Vec<Check> {
    let (mut under_way, mut done) = (JoinSet::new(), Vec::new());
    for (place, request) in requests.into_iter().enumerate() {
        if under_way.len() >= AT_ONCE {
            done.extend(next(&mut under_way, &vantage).await);
        }
        let engine = Arc::clone(&engine);
        let credentials = credentials.clone().filter(|_| request.check == CheckKind::JoinRights);
        under_way.spawn(async move {
            let observed = vantage::run(engine, Gate::open(), request.clone(), credentials).await;
            (place, request, observed)
        });
    }
    while !under_way.is_empty() {
        done.extend(next(&mut under_way, &vantage).await);
    }
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, check)| check).collect()
}

/// Waits for a check to end. One that ended abnormally gives no result.
async fn next(under_way: &mut JoinSet<(usize, Request, Observed)>, vantage: &str) -> Option<(usize, Check)> {
    let (place, request, observed) = under_way
        .join_next()
        .await?
        .inspect_err(|error| tracing::error!(%error, "a check of the vantage ended abnormally"))
        .ok()?;
    let check = Check {
        vantage: vantage.to_owned(),
        domain: request.domain,
        target: request.target.as_ref().map(Target::name),
        address: request.target.as_ref().map(|target| target.address),
        check: request.check,
        status: observed.status.unwrap_or(CheckStatus::Unknown),
        facts: observed.facts,
        observed_at: Some(observed.observed_at),
    };
    Some((place, check))
}

#[cfg(test)]
mod tests {
    use sekisho_model::BuiltIn;

    use super::*;
    use crate::cli::check::tests::args;

    fn target(address: &str) -> Target {
        Target { host: None, domain: None, address: address.parse().unwrap() }
    }

    fn asked(line: &[&str], domains: &[(&str, &[&str])]) -> Vec<(String, CheckKind)> {
        let of = |addresses: &[&str]| addresses.iter().map(|address| target(address)).collect();
        let domains =
            domains.iter().map(|(domain, addresses)| ((*domain).to_owned(), of(addresses))).collect();
        let checks = BuiltIn::named("domain-join").unwrap().checks();
        let requests = requests(&args(line), &domains, &domains, checks);
        requests.into_iter().map(|request| (request.domain, request.check)).collect()
    }

    fn of(domain: &str, checks: &[CheckKind]) -> Vec<(String, CheckKind)> {
        checks.iter().map(|check| (domain.to_owned(), *check)).collect()
    }

    #[test]
    fn a_domain_without_targets_is_looked_for() {
        let asked = asked(&["x"], &[("corp.example", &[])]);
        assert_eq!(asked, of("corp.example", &[CheckKind::Resolver, CheckKind::SrvRecords, CheckKind::Host]));
    }

    #[test]
    fn a_target_of_no_known_domain_has_the_checks_of_targets() {
        let asked = asked(&["x"], &[("", &["10.77.1.10"])]);
        assert_eq!(asked, of("", &[CheckKind::Clock, CheckKind::PathMtu, CheckKind::Host]));
    }

    #[test]
    fn this_host_is_looked_at_once() {
        let asked = asked(&["x"], &[("", &["10.77.1.99"]), ("a.example", &[]), ("b.example", &[])]);
        let hosts: Vec<_> = asked.into_iter().filter(|(_, check)| *check == CheckKind::Host).collect();
        assert_eq!(hosts, of("a.example", &[CheckKind::Host]));
    }

    #[test]
    fn checks_of_one_target_do_not_hold_all_of_them() {
        let addresses = vec![target("10.77.1.10"); 3];
        let domains = [("corp.example".to_owned(), addresses)].into();
        let requests =
            requests(&args(&["x"]), &domains, &domains, &[CheckKind::Clock, CheckKind::SrvRecords]);
        let held: Vec<usize> = requests.iter().map(|request| request.targets.len()).collect();
        assert_eq!(held, [0, 0, 0, 3]);
    }

    #[test]
    fn a_password_goes_to_no_domain_that_a_stranger_named() {
        let line = args(&["10.77.1.10", "--join-user", "operator"]);
        let known = [("corp.example".to_owned(), vec![target("10.77.1.10")])].into();
        let named = [(String::new(), vec![target("10.77.1.10")])].into();
        let requests = requests(&line, &known, &named, &[CheckKind::JoinRights, CheckKind::Resolver]);
        let asked: Vec<_> = requests.into_iter().map(|request| (request.domain, request.check)).collect();
        let expected = [of("corp.example", &[CheckKind::Resolver]), of("", &[CheckKind::JoinRights])];
        assert_eq!(asked, expected.concat());
    }
}
