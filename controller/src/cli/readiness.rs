//! `sekisho readiness`.

use std::fmt::Write;

use clap::{Args, builder::PossibleValuesParser};
use sekisho_domain::readiness::{Certainty, Finding, Readiness, Severity, Verdict, WindowsError};
use sekisho_model::table::plain;

use super::{
    Exit,
    client::Client,
    connection::Global,
    diff::headline,
    output::{self, FormatArg},
    table::{Column, text, time, word},
};
use crate::service::SweepReadiness;

/// Tell whether computers can join from a vantage, what Windows will answer, why, and what to do.
#[derive(Debug, Args)]
#[command(
    after_help = "Verdicts:\n  ready    a computer can join: every domain controller and every check is well\n  at-risk  it may: a domain controller fails, or something is not as it should be\n  blocked  it cannot: no domain controller serves what a join requires, or names are missing\n  unknown  what was not tested decides\n\nExit status, as the gate of a roll-out: 0 all are ready, 2 one is blocked or at risk (--allow at-risk lets the latter pass),\n3 none is, and one is unknown.\n\nExamples:\n  sekisho readiness\n  sekisho readiness --vantage vlan20 --domain corp.example --allow at-risk\n  sekisho readiness --lang ja\n  sekisho readiness --format json | jq -r '.[] | select(.verdict == \"blocked\") | .vantage'"
)]
pub(super) struct ReadinessArgs {
    /// Only this domain.
    #[arg(long, value_name = "D")]
    domain: Option<String>,
    /// Only this vantage.
    #[arg(long, value_name = "V")]
    vantage: Option<String>,
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = super::sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    /// End with 0 where this is the worst verdict.
    #[arg(long, value_name = "VERDICT", value_parser = ["at-risk"])]
    allow: Option<String>,
    /// Language of the findings: en or ja. As LANG says when absent.
    #[arg(long, value_name = "LANG", value_parser = PossibleValuesParser::new(["en", "ja"]))]
    lang: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

pub(super) async fn run(args: ReadinessArgs, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    let doing = format!("show the readiness by sweep {}", args.sweep);
    let lang = args.lang.as_deref().unwrap_or_else(|| output::language());
    let mut query = vec![("sweep", args.sweep.as_str()), ("lang", lang)];
    query.extend(args.vantage.as_deref().map(|vantage| ("vantage", vantage)));
    query.extend(args.domain.as_deref().map(|domain| ("domain", domain)));
    let found: SweepReadiness = client.get(&doing, &["readiness"], &query).await?;
    output::print(args.format.format, &found.readiness, (LINES, lines(&found.readiness)), || report(&found))?;
    Ok(end(&found.readiness, args.allow.is_some()))
}

fn end(all: &[Readiness], allows_risk: bool) -> Exit {
    let has = |verdict| all.iter().any(|one| one.verdict == verdict);
    if has(Verdict::Blocked) || (has(Verdict::AtRisk) && !allows_risk) {
        Exit::Found
    } else if has(Verdict::Unknown) || all.is_empty() {
        Exit::Incomplete
    } else {
        Exit::Fine
    }
}

/// A finding, or a verdict that has none.
struct Line {
    readiness: Readiness,
    finding: Option<Finding>,
}

/// One line for each finding.
fn lines(all: &[Readiness]) -> impl Iterator<Item = Line> + '_ {
    let line = |one: &Readiness, finding| Line { readiness: one.clone(), finding };
    all.iter().flat_map(move |one| -> Vec<Line> {
        match one.findings.as_slice() {
            [] => vec![line(one, None)],
            findings => findings.iter().map(|finding| line(one, Some(finding.clone()))).collect(),
        }
    })
}

const LINES: &[Column<Line>] = &[
    text("vantage", |line| Some(line.readiness.vantage.clone())),
    text("domain", |line| Some(line.readiness.domain.clone())),
    text("verdict", |line| word(Some(line.readiness.verdict))),
    text("errors", |line| Some(errors(&line.readiness.errors))),
    text("severity", |line| line.finding.as_ref().map(|finding| finding.severity.word().to_owned())),
    text("slug", |line| line.finding.as_ref().map(|finding| finding.slug.clone())),
    text("target", |line| line.finding.as_ref().and_then(|finding| finding.target.clone())),
    text("service", |line| word(line.finding.as_ref().and_then(|finding| finding.service))),
    text("title", |line| line.finding.as_ref().map(|finding| finding.title.clone())),
    text("action", |line| line.finding.as_ref().map(|finding| finding.action.clone())),
    time("checked_at", |line| line.readiness.checked_at),
];

const VERDICTS: &[Column<Readiness>] = &[
    text("vantage", |one| Some(one.vantage.clone())),
    text("domain", |one| Some(one.domain.clone())),
    text("verdict", |one| word(Some(one.verdict))),
    time("checked", |one| one.checked_at),
    text("windows answers", |one| Some(errors(&one.errors))),
];

/// `58 ERROR_BAD_NET_RESP; 53 ERROR_BAD_NETPATH (likely)`
fn errors(errors: &[WindowsError]) -> String {
    let words = |error: &WindowsError| {
        let hedge = if error.certainty == Certainty::Likely { " (likely)" } else { "" };
        format!("{} {}{hedge}", error.code, error.name)
    };
    errors.iter().map(words).collect::<Vec<_>>().join("; ")
}

fn report(found: &SweepReadiness) -> String {
    let mut out = format!("{}\n\n", headline(&found.sweep));
    let none = "the sweep was asked for no vantage and no domain";
    out.push_str(&output::columns(VERDICTS, &found.readiness, none));
    for one in &found.readiness {
        // What is good to know keeps nobody from joining, and stands in JSON and CSV.
        let findings: Vec<&Finding> = one.findings.iter().filter(|f| f.severity != Severity::Info).collect();
        if findings.is_empty() {
            continue;
        }
        let place = format!("{}, {}: {}", one.vantage, one.domain, one.verdict);
        _ = writeln!(out, "\n{}", plain(&place));
        for (place, finding) in findings.iter().enumerate() {
            _ = writeln!(out, "  {:<7}  {}", finding.severity.word(), plain(&finding.title));
            // What several findings ask for stands under the last of them.
            if findings.get(place.saturating_add(1)).is_none_or(|next| next.action != finding.action) {
                _ = writeln!(out, "           {}", plain(&finding.action));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(verdict: &str, severity: &str) -> Readiness {
        serde_json::from_value(serde_json::json!({
            "vantage": "vlan20", "domain": "corp.example", "verdict": verdict,
            "errors": [
                { "code": 58, "name": "ERROR_BAD_NET_RESP", "certainty": "documented" },
                { "code": 53, "name": "ERROR_BAD_NETPATH", "certainty": "likely" },
            ],
            "findings": [{
                "slug": "path-filter", "severity": severity, "target": "dc1", "service": "ldap",
                "title": "something blocks ldap", "action": "Permit it.", "evidence": {},
            }],
            "checked_at": "2026-11-20T02:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn the_worst_verdict_is_the_exit_status() {
        let of = |verdicts: &[&str]| verdicts.iter().map(|verdict| one(verdict, "info")).collect::<Vec<_>>();
        for (verdicts, allows_risk, exit) in [
            (&["ready", "ready"][..], false, Exit::Fine),
            (&["ready", "at-risk"], false, Exit::Found),
            (&["ready", "at-risk"], true, Exit::Fine),
            (&["blocked", "unknown"], true, Exit::Found),
            (&["unknown", "ready"], false, Exit::Incomplete),
            (&["unknown", "at-risk"], true, Exit::Incomplete),
            (&["unknown", "at-risk"], false, Exit::Found),
            (&[], false, Exit::Incomplete),
        ] {
            assert_eq!(end(&of(verdicts), allows_risk), exit, "{verdicts:?} {allows_risk}");
        }
    }

    #[test]
    fn the_report_tells_verdict_errors_findings_and_actions() {
        let sweep = serde_json::json!({
            "id": 3, "state": "complete", "profile": "domain-join", "started_at": "2026-11-20T02:00:00Z",
            "finished_at": "2026-11-20T02:01:00Z", "planned": 9, "observed": 9, "missed": 0,
        });
        let readiness = vec![one("blocked", "blocker"), one("ready", "info")];
        let found = SweepReadiness { sweep: serde_json::from_value(sweep).unwrap(), readiness };
        let expected = "\
sweep 3 complete, profile domain-join, started 2026-11-20 02:00:00Z: 9 flows planned, 9 observed, 0 missed

VANTAGE  DOMAIN        VERDICT  CHECKED               WINDOWS ANSWERS
vlan20   corp.example  blocked  2026-11-20 02:00:00Z  58 ERROR_BAD_NET_RESP; 53 ERROR_BAD_NETPATH (likely)
vlan20   corp.example  ready    2026-11-20 02:00:00Z  58 ERROR_BAD_NET_RESP; 53 ERROR_BAD_NETPATH (likely)

vlan20, corp.example: blocked
  blocker  something blocks ldap
           Permit it.
";
        assert_eq!(report(&found), expected);
    }

    #[test]
    fn a_verdict_without_finding_is_a_line_too() {
        let mut bare = one("unknown", "info");
        bare.findings.clear();
        let csv = output::csv(LINES, lines(&[one("blocked", "blocker"), bare]));
        let lines: Vec<&str> = csv.lines().collect();
        assert!(
            lines[1].ends_with(
                "blocker,path-filter,dc1,ldap,something blocks ldap,Permit it.,2026-11-20T02:00:00Z"
            )
        );
        assert!(lines[2].ends_with("(likely),,,,,,,2026-11-20T02:00:00Z"), "{csv}");
    }
}
