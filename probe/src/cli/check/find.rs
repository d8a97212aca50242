//! What the names on the command line stand for, and whose domain it is.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use futures_util::future::join_all;
use sekisho_model::CheckKind;
use tokio::time::timeout;

use super::Args;
use crate::{
    resolver::{ResolveError, Resolver},
    runner::{Engine, Target},
    vantage,
};

/// Most targets of one check.
const TARGETS: usize = 4_096;
/// Targets that are asked which domain they serve: the first ones. The others stay without one.
const ASKED: usize = 4;
/// How long each is waited for: time for three datagrams. Later answers are not heard.
const PATIENCE: Duration = Duration::from_millis(1_200);

/// What the names stand for.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) targets: Vec<Target>,
    /// Names of which no target was found, taken for domains.
    pub(super) missing: Vec<Missing>,
}

/// A domain of which no domain controller was found. Its checks tell why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    name: String,
    domain: String,
    why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, domain, why } = self;
        let why = sekisho_model::table::plain(why);
        writeln!(f, "cannot find {name}: {why}")?;
        write!(
            f,
            "no flow of it is tested, and the checks of the domain {domain} tell why; name an address to test one"
        )
    }
}

/// Finds the targets.
///
/// # Errors
/// A name stands for nothing and cannot be a domain, or there are too many targets.
pub(super) async fn all(args: &Args, checks: &[CheckKind], engine: &Arc<Engine>) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for name in &args.names {
        match one(args, engine, name).await {
            Ok(targets) => found.targets.extend(targets),
            Err(error) => match missing(args, checks, name, &error) {
                Some(missing) => found.missing.push(missing),
                None => return Err(error).with_context(|| format!("cannot find {name}")),
            },
        }
        if found.targets.len() > TARGETS {
            bail!("{} targets and more: one check takes at most {TARGETS}", found.targets.len());
        }
    }
    found.targets.dedup();
    Ok(found)
}

/// A name of which nothing was found, as a domain, where its checks can tell why.
fn missing(args: &Args, checks: &[CheckKind], name: &str, error: &anyhow::Error) -> Option<Missing> {
    let name = canonical(name);
    let domain = args.domain.as_deref().map_or_else(|| name.clone(), canonical);
    let tells = checks.iter().any(|check| is_of_a_domain(*check));
    (tells && is_domain(&name) && is_domain(&domain)).then(|| Missing {
        name,
        domain,
        why: format!("{error:#}"),
    })
}

/// Checks that look at how a domain is found.
const fn is_of_a_domain(check: CheckKind) -> bool {
    matches!(check, CheckKind::Resolver | CheckKind::SrvRecords)
}

/// Whether a name can be that of a domain: at least two labels as RFC 1123 section 2.1 and those with `_` have them, and no
/// mistyped address.
fn is_domain(name: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(letter);
    let numeric = |label: &str| label.chars().all(|c| c.is_ascii_digit());
    let last = name.rsplit_once('.').map(|(_, last)| last);
    name.len() <= 253 && name.split('.').all(label) && last.is_some_and(|last| !numeric(last))
}

async fn one(args: &Args, engine: &Arc<Engine>, name: &str) -> anyhow::Result<Vec<Target>> {
    let domain = args.domain.as_ref().map(|d| canonical(d));
    let bare = |address| Target { host: None, domain: domain.clone(), address };
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(vec![bare(address.to_canonical())]);
    }
    if let Ok(net) = name.parse::<ipnet::IpNet>() {
        return Ok(net.hosts().take(TARGETS + 1).map(bare).collect());
    }
    let name = canonical(name);
    let resolver =
        if args.dns.is_empty() { Resolver::system(engine)? } else { Resolver::of(engine, &args.dns) };
    match resolver.domain_controllers(&name).await {
        Ok(found) => return Ok(found),
        // Not a domain: then it may be a host.
        Err(ResolveError::Empty { .. } | ResolveError::Refused { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let addresses = resolver
        .addresses(&name)
        .await
        .with_context(|| format!("{name} has no SRV records of a domain, and as a host"))?;
    if resolver.answers_anything(&name).await {
        bail!(
            "{name} has no SRV records of a domain, and the DNS server gives an address to names that nobody has"
        );
    }
    let target = |address| Target { host: Some(name.clone()), domain: domain.clone(), address };
    Ok(addresses.into_iter().map(target).collect())
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// Domains with their targets; the empty one holds those of no domain that is known.
pub(super) type Domains = BTreeMap<String, Vec<Target>>;

impl Found {
    /// The domains that the user named, or that DNS did under a name of the user.
    pub(super) fn named(&self) -> Domains {
        self.with(&BTreeMap::new())
    }

    /// `served`: what targets without a domain say of themselves.
    fn with(&self, served: &BTreeMap<IpAddr, String>) -> Domains {
        let mut domains: Domains =
            self.missing.iter().map(|missing| (missing.domain.clone(), Vec::new())).collect();
        for target in &self.targets {
            let domain = target.domain.clone().or_else(|| served.get(&target.address).cloned());
            let target = Target { domain: domain.clone(), ..target.clone() };
            domains.entry(domain.unwrap_or_default()).or_default().push(target);
        }
        domains
    }
}

/// The same, and those that targets without a domain say they serve. That is a stranger's word: it decides what is looked
/// at, and neither what a flow comes to nor who may see a password.
pub(super) async fn domains(found: &Found, checks: &[CheckKind], engine: &Arc<Engine>) -> Domains {
    let unknown = found.targets.iter().filter(|target| target.domain.is_none());
    let asked = unknown.take(if checks.iter().any(|check| is_of_a_domain(*check)) { ASKED } else { 0 });
    let served = join_all(asked.map(|target| async {
        let served = timeout(PATIENCE, vantage::served(engine, target.address)).await.ok().flatten();
        Some((target.address, served.filter(|domain| is_domain(domain))?))
    }));
    let served: BTreeMap<IpAddr, String> = served.await.into_iter().flatten().collect();
    found.with(&served)
}

/// What is said of targets whose domain is not known, where checks of a domain were wanted.
pub(super) fn without_domain(domains: &Domains, checks: &[CheckKind]) -> Option<String> {
    let wanted: Vec<String> =
        checks.iter().filter(|check| is_of_a_domain(**check)).map(CheckKind::to_string).collect();
    let targets = domains.get("").filter(|_| !wanted.is_empty())?;
    let first = targets.first()?.name();
    let more = match targets.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let wanted = wanted.join(" and ");
    Some(format!("{first}{more}: no domain is known; left out: {wanted} (name the domain with --domain)"))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::cli::check::tests::args;

    #[test]
    fn a_mistyped_address_is_no_domain() {
        for name in ["corp.example", "a.b.c", "_x.corp-2.example", "1.example", "例.example"] {
            assert!(is_domain(name), "{name}");
        }
        for name in [
            "",
            "corp",
            "corp.",
            ".example",
            "a..b",
            "10.77.1.300",
            "10.0.0.0/33",
            "fd00::zz",
            "a b.c",
            "a.1",
        ] {
            assert!(!is_domain(name), "{name}");
        }
        assert!(!is_domain(&format!("{}.example", "x".repeat(64))));
    }

    #[test]
    fn what_is_not_found_is_a_domain_where_its_checks_can_tell_why() {
        let all = [CheckKind::Resolver, CheckKind::SrvRecords, CheckKind::Clock];
        let found = |line: &[&str], checks: &[CheckKind], name| {
            missing(&args(line), checks, name, &anyhow!("nobody answers")).map(|missing| missing.domain)
        };
        assert_eq!(found(&["x"], &all, "Corp.Example."), Some("corp.example".to_owned()));
        let of_domain = ["x", "--domain", "Corp.Example"];
        assert_eq!(found(&of_domain, &all, "dc1.corp.example"), Some("corp.example".to_owned()));
        assert_eq!(found(&["x"], &[], "corp.example"), None);
        assert_eq!(found(&["x"], &[CheckKind::Clock, CheckKind::Host], "corp.example"), None);
        assert_eq!(found(&["x"], &all, "corp"), None);
        assert_eq!(found(&["x"], &all, "10.77.1.300"), None);
    }

    #[test]
    fn checks_that_are_left_out_are_named() {
        let target = |address: &str| Target { host: None, domain: None, address: address.parse().unwrap() };
        let targets = vec![target("10.77.1.20"), target("10.77.1.21")];
        let domains = [(String::new(), targets), ("corp.example".to_owned(), Vec::new())].into();
        let said = without_domain(&domains, &[CheckKind::Resolver, CheckKind::SrvRecords, CheckKind::Clock]);
        let said = said.unwrap();
        assert!(
            said.starts_with("10.77.1.20 and 1 more: ")
                && said.contains("left out: resolver and srv-records"),
            "{said}"
        );
        assert_eq!(without_domain(&domains, &[CheckKind::Clock]), None);
        let known = [("corp.example".to_owned(), vec![target("10.77.1.10")])].into();
        assert_eq!(without_domain(&known, &[CheckKind::Resolver]), None);
    }

    #[test]
    fn a_reader_is_told_why_there_are_no_flows() {
        let missing =
            missing(&args(&["x"]), &[CheckKind::Resolver], "corp.example", &anyhow!("no\u{1b}answer"));
        let said = missing.unwrap().to_string();
        assert!(said.starts_with("cannot find corp.example: no?answer\nno flow"), "{said}");
    }
}
