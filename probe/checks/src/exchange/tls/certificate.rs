//! What a server's certificate says, and whether it fits the server. It is told, never a reason to stop.

use super::trust;
use crate::exchange::Expected;
use crate::exchange::report::Report;
use crate::wire::certificate::{self, Certificate};
use crate::wire::time::Moment;

/// Adds the facts of a certificate in DER. A flag that tells of a fault is there only where it is true.
pub(super) fn facts(report: Report, der: &[u8], expected: &Expected) -> Report {
    let report = report.fact("certificate-sha256", trust::sha256(der));
    match certificate::decode(der) {
        Ok(certificate) => judged(told(report, &certificate), &certificate, expected),
        Err(_) => report.fact("certificate-unreadable", true),
    }
}

fn told(report: Report, certificate: &Certificate) -> Report {
    let time = |report: Report, name: &str, moment: Option<Moment>| match moment {
        Some(moment) => report.fact(name, moment.rfc3339_seconds()),
        None => report,
    };
    let report = report
        .text("certificate-subject", &certificate.subject)
        .text("certificate-issuer", &certificate.issuer)
        .list("certificate-names", certificate.names.iter().flatten().cloned())
        .text("certificate-key", &certificate.key)
        .text("certificate-signature", &certificate.signature)
        .fact("certificate-server-auth", certificate.server_auth);
    let report = time(report, "certificate-not-before", certificate.not_before);
    time(report, "certificate-not-after", certificate.not_after)
}

fn judged(report: Report, certificate: &Certificate, expected: &Expected) -> Report {
    let now = expected.now.and_then(|seconds| Moment::from_unix_micros(seconds.checked_mul(1_000_000)?));
    let ended = now.zip(certificate.not_after).is_some_and(|(now, end)| now > end);
    let not_begun = now.zip(certificate.not_before).is_some_and(|(now, beginning)| now < beginning);
    let host = expected.host.as_deref().filter(|host| host.parse::<std::net::IpAddr>().is_err());
    let mismatch = host.is_some_and(|host| !is_for(certificate, host));
    [
        ("certificate-self-signed", certificate.self_signed),
        ("certificate-no-san", certificate.names.is_none()),
        ("certificate-expired", ended),
        ("certificate-not-yet-valid", not_begun),
        ("certificate-name-mismatch", mismatch),
    ]
    .into_iter()
    .filter(|(_, holds)| *holds)
    .fold(report, |report, (name, holds)| report.fact(name, holds))
}

/// RFC 6125 6.4: by the DNS names; where there is no `subjectAltName` at all, by the common name, as old clients do.
fn is_for(certificate: &Certificate, host: &str) -> bool {
    match &certificate.names {
        Some(names) => names.iter().any(|name| matches(name, host)),
        None => certificate.common_name.as_deref().is_some_and(|name| matches(name, host)),
    }
}

/// Whether a name of a certificate is the host's. A `*` stands for one whole label, the first (RFC 6125 6.4.3).
fn matches(name: &str, host: &str) -> bool {
    let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let (name, host) = (bare(name), bare(host));
    match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((label, rest))) => !label.is_empty() && parent.contains('.') && parent == rest,
        (Some(_), None) => false,
        (None, _) => !name.is_empty() && name == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_tls_clients_match_them() {
        for (name, host, expected) in [
            ("dc1.corp.example", "DC1.corp.example.", true),
            ("*.corp.example", "dc1.corp.example", true),
            ("*.corp.example", "corp.example", false),
            ("*.corp.example", "a.dc1.corp.example", false),
            ("*.example", "dc1.example", false),
            ("*", "dc1", false),
            ("dc*.corp.example", "dc1.corp.example", false),
            ("corp.example", "dc1.corp.example", false),
            ("", "", false),
        ] {
            assert_eq!(matches(name, host), expected, "{name} {host}");
        }
    }
}
