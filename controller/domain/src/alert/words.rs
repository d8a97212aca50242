//! An alert as a sentence.

use std::collections::BTreeSet;

use super::{About, AlertKind, Item};
use crate::attribution::Cause;

/// Most names of one kind in a sentence.
const NAMES: usize = 6;

impl About {
    /// The alert in one line: `gap: 12 flows rejected at 10.77.20.1 (path-filter) from vlan20 to dc1, dc2: smb, ldap`.
    #[must_use]
    pub fn sentence(&self, items: &[Item]) -> String {
        let vantages: BTreeSet<&str> = items.iter().map(|item| item.vantage.as_str()).collect();
        let flows = || items.iter().filter_map(|item| item.flow.as_ref());
        let targets: BTreeSet<&str> = flows().map(|flow| flow.target.as_str()).collect();
        let services: BTreeSet<_> = flows().map(|flow| flow.service).collect();
        let services: Vec<String> = services.into_iter().map(|service| service.name()).collect();
        let from = names(vantages.into_iter());
        if self.kind == AlertKind::LostVantage {
            return format!("lost-vantage: nothing was heard of {from}: all tasks were missed");
        }
        let flows = if items.len() == 1 { "1 flow".to_owned() } else { format!("{} flows", items.len()) };
        format!(
            "{}: {flows} {}{} from {from} to {}: {}{}{}",
            self.kind,
            self.what(),
            self.place(),
            names(targets.into_iter()),
            names(services.iter().map(String::as_str)),
            self.ruled(),
            self.newly(items.len()),
        )
    }

    fn what(&self) -> &'static str {
        match (self.kind, self.outcome) {
            (AlertKind::Exposure | AlertKind::Fix, _) => "open",
            (_, Some(outcome)) => outcome.word(),
            (_, None) => "blocked",
        }
    }

    fn place(&self) -> String {
        let Some(cause) = self.cause else { return String::new() };
        let at = match (self.by, self.between) {
            // A device that knows no way is not where it ends.
            (Some(by), _) if cause == Cause::Routing => format!(", says {by}"),
            (Some(by), _) => format!(" at {by}"),
            (None, Some(between)) => format!(" {between}"),
            (None, None) => String::new(),
        };
        format!("{at} ({cause})")
    }

    fn ruled(&self) -> String {
        let says = if self.kind == AlertKind::Exposure { "denied" } else { "allowed" };
        if self.policies.is_empty() {
            return String::new();
        }
        format!(", {says} by {}", names(self.policies.iter().map(String::as_str)))
    }

    fn newly(&self, flows: usize) -> String {
        match self.regressed {
            0 => String::new(),
            all if all == flows => ", open before".to_owned(),
            some => format!(", {some} of them open before"),
        }
    }
}

fn names<'a>(all: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = all.len().saturating_sub(NAMES);
    let head = all.take(NAMES).collect::<Vec<_>>().join(", ");
    if more == 0 { head } else { format!("{head} and {more} more") }
}
