//! The certificates of one target: the same on every port, or not.

use std::collections::BTreeMap;

use sekisho_checks::flow::Signal;
use sekisho_model::{Fact, Facts};

use super::target::Tested;

/// Facts that hold the digest of a certificate, and what follows the service's name for them.
const DIGESTS: [(&str, &str); 2] = [("certificate-sha256", ""), ("starttls-certificate-sha256", " starttls")];

/// Notes in every flow that showed a certificate where the target showed another one: an inspecting device, or two
/// certificates.
pub(super) fn compare(tested: &mut [Tested]) {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for flow in tested.iter() {
        for (digest, name) in digests(flow) {
            places.entry(digest).or_default().push(name);
        }
    }
    if places.len() < 2 {
        return;
    }
    for flow in tested.iter_mut() {
        let own: Vec<String> = digests(flow).into_iter().map(|(digest, _)| digest).collect();
        if own.is_empty() {
            continue;
        }
        let others: Vec<&str> = places
            .iter()
            .filter(|(digest, _)| own.len() > 1 || !own.contains(digest))
            .flat_map(|(_, names)| names.iter().map(String::as_str))
            .collect();
        flow.facts.insert("certificate-differs-from".to_owned(), others.join(", ").into());
    }
}

/// The certificates that a flow showed, each with where.
fn digests(flow: &Tested) -> Vec<(String, String)> {
    let told: Option<&Facts> = match &flow.seen.decision.signal {
        Some(Signal::Proven(told) | Signal::Wrong(told)) => Some(told),
        Some(_) | None => None,
    };
    let service = flow.endpoint.service;
    DIGESTS
        .into_iter()
        .filter_map(|(fact, suffix)| match told?.get(fact)? {
            Fact::Text(digest) => Some((digest.clone(), format!("{service}{suffix}"))),
            Fact::Flag(_) | Fact::Integer(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::verdict::tests::tested;

    fn showing(service: &str, certificates: &[(&str, &str)]) -> Tested {
        let facts = certificates.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).into()));
        tested(service, Some(Signal::Proven(facts.collect())))
    }

    fn differs(tested: &[Tested]) -> Vec<Option<String>> {
        let fact = |flow: &Tested| flow.facts.get("certificate-differs-from").map(ToString::to_string);
        tested.iter().map(fact).collect()
    }

    #[test]
    fn one_certificate_everywhere_is_nothing_to_tell() {
        let mut flows = [
            showing("ldaps", &[("certificate-sha256", "aa")]),
            showing("gc-ssl", &[("certificate-sha256", "aa")]),
            showing("ldap", &[("starttls-certificate-sha256", "aa")]),
            showing("smb", &[]),
        ];
        compare(&mut flows);
        assert_eq!(differs(&flows), [None, None, None, None]);
    }

    #[test]
    fn another_certificate_is_told_on_both_sides() {
        let mut flows = [
            showing("ldaps", &[("certificate-sha256", "aa")]),
            showing("gc-ssl", &[("certificate-sha256", "bb")]),
            showing("ldap", &[("starttls-certificate-sha256", "aa")]),
        ];
        compare(&mut flows);
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(differs(&flows), [told("gc-ssl"), told("ldaps, ldap starttls"), told("gc-ssl")]);
    }
}
