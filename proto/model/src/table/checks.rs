//! Checks of the vantages in words: one sentence per cause, for all the checks that it holds for.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
};

use super::{
    Named, label,
    sentence::{facts, vantages},
    symbol::Paint,
    text::clean,
};
use crate::{Check, CheckKind, CheckStatus, Fact};

/// What is told first: what a reader has to do something about.
const ORDER: [CheckStatus; 4] =
    [CheckStatus::Problem, CheckStatus::Warning, CheckStatus::Unknown, CheckStatus::Ok];

/// Checks with one status and one cause.
struct Group<'a> {
    vantages: Vec<&'a str>,
    status: CheckStatus,
    cause: String,
    subjects: Vec<String>,
    /// Every check of the vantage.
    all: bool,
}

/// A sentence for all that is not ok.
pub(super) fn write(out: &mut String, checks: &[Check], named: &BTreeSet<Named<'_>>, paint: &Paint) {
    let mut groups = merged(groups(checks, named));
    groups.sort_by_key(|group| ORDER.iter().position(|status| *status == group.status));
    for group in &groups {
        let (who, arrow) = (vantages(&group.vantages), paint.arrow());
        let what = paint.status(group.status, group.status.word());
        let cause = &group.cause;
        _ = match group.subjects.as_slice() {
            [subject] => writeln!(out, "{who} {arrow} {subject}: {what}{cause}"),
            subjects if group.all => writeln!(out, "{who}: all {} checks {what}{cause}", subjects.len()),
            subjects => {
                writeln!(out, "{who}: {} checks {what}{cause}: {}", subjects.len(), subjects.join(", "))
            }
        };
    }
    if !groups.is_empty() {
        out.push('\n');
    }
}

/// How many there are of each status, in one line.
pub(super) fn count(out: &mut String, checks: &[Check], paint: &Paint) {
    if checks.is_empty() {
        return;
    }
    let counts = CheckStatus::ALL.iter().filter_map(|status| {
        let count = checks.iter().filter(|check| check.status == *status).count();
        (count > 0).then(|| paint.status(*status, &format!("{count} {status}")))
    });
    let noun = if checks.len() == 1 { "check" } else { "checks" };
    _ = writeln!(out, "{} {noun}: {}", checks.len(), counts.collect::<Vec<_>>().join(", "));
}

fn groups<'a>(checks: &'a [Check], named: &BTreeSet<Named<'_>>) -> Vec<Group<'a>> {
    let mut totals: HashMap<&str, usize> = HashMap::new();
    for check in checks {
        *totals.entry(&check.vantage).or_default() += 1;
    }
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut places = HashMap::new();
    for check in checks.iter().filter(|check| check.status != CheckStatus::Ok) {
        let cause = told(check);
        let place = *places
            .entry((check.vantage.as_str(), check.status, cause.clone()))
            .or_insert_with(|| groups.len());
        if groups.get(place).is_none() {
            let vantages = vec![check.vantage.as_str()];
            groups.push(Group { vantages, status: check.status, cause, subjects: Vec::new(), all: false });
        }
        if let Some(group) = groups.get_mut(place) {
            group.subjects.push(subject(check, named));
            group.all = totals.get(check.vantage.as_str()) == Some(&group.subjects.len());
        }
    }
    groups
}

/// One group for all vantages where the same checks ended the same way.
fn merged(groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    let mut merged: Vec<Group<'_>> = Vec::new();
    let mut places = HashMap::new();
    for group in groups {
        let key = (group.status, group.cause.clone(), group.subjects.clone(), group.all);
        let place = *places.entry(key).or_insert(merged.len());
        match merged.get_mut(place) {
            Some(same) => same.vantages.extend(group.vantages),
            None => merged.push(group),
        }
    }
    merged
}

/// `dc1 clock`, `corp.example srv-records`, `corp.example computer-account PC8`.
fn subject(check: &Check, named: &BTreeSet<Named<'_>>) -> String {
    let about = match (check.target.as_deref(), check.address) {
        (Some(target), Some(address)) => label(named, target, address),
        (Some(target), None) => clean(target),
        (None, _) => clean(&check.domain),
    };
    let computer = match check.facts.get("computer") {
        Some(computer) if check.check == CheckKind::ComputerAccount => {
            format!(" {}", clean(&computer.to_string()))
        }
        Some(_) | None => String::new(),
    };
    format!("{about} {}{computer}", check.check).trim_start().to_owned()
}

/// Why, in brackets. A sentence for people is told rather than single facts, which JSON has.
fn told(check: &Check) -> String {
    let mut told = check.facts.clone();
    if check.check == CheckKind::ComputerAccount {
        told.remove("computer");
    }
    if told.get("detail").is_some_and(|detail| *detail != Fact::from("")) {
        told.retain(|name, _| name == "reason" || name == "detail");
    } else {
        told.remove("detail");
    }
    let told = facts(&told);
    if told.is_empty() { told } else { format!(" ({told})") }
}
