//! A judgement in the making: facts, and the gravest of the findings.

use sekisho_model::{CheckStatus, Fact, Facts};

use crate::exchange::report::printable;

/// Most facts of a result. Beyond that the last ones by name are left out.
const FACTS: usize = 48;
/// Most octets of a list: the items that do not fit are counted.
const LIST: usize = 640;
/// Most octets of a sentence: the rest is cut.
const SENTENCE: usize = 480;

/// A judgement in the making. Without a finding it is `ok`, so whoever finds no evidence says so as a finding.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    facts: Facts,
    finding: Option<Finding>,
}

#[derive(Debug, Clone)]
struct Finding {
    status: CheckStatus,
    reason: &'static str,
    detail: String,
}

/// What cannot be known may be worse than a warning, and no better than a problem that is proved.
const fn gravity(status: CheckStatus) -> u8 {
    match status {
        CheckStatus::Ok => 0,
        CheckStatus::Warning => 1,
        CheckStatus::Unknown => 2,
        CheckStatus::Problem => 3,
    }
}

impl Judgement {
    /// Notes a fact.
    pub fn fact(&mut self, name: &str, fact: impl Into<Fact>) {
        self.facts.insert(name.to_owned(), fact.into());
    }

    /// Notes a count.
    pub fn count(&mut self, name: &str, count: usize) {
        self.fact(name, i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes a text of a peer, cleaned and cut. An empty one is no fact.
    pub fn text(&mut self, name: &str, text: &str) {
        let text = printable(text);
        if !text.is_empty() {
            self.fact(name, text);
        }
    }

    /// Notes texts as one, cleaned, with commas between. None is no fact.
    pub fn list<T: AsRef<str>>(&mut self, name: &str, items: &[T]) {
        if !items.is_empty() {
            self.fact(name, joined(items));
        }
    }

    /// Notes a finding: the first of the gravest counts. `detail` is a sentence for people, or empty.
    pub fn find(&mut self, status: CheckStatus, reason: &'static str, detail: impl Into<String>) {
        if self.finding.as_ref().is_none_or(|known| gravity(known.status) < gravity(status)) {
            self.finding = Some(Finding { status, reason, detail: detail.into() });
        }
    }

    /// Notes a finding where a list is not empty, and the list as a fact of the same name.
    pub fn find_any<T: AsRef<str>>(
        &mut self,
        status: CheckStatus,
        reason: &'static str,
        name: &str,
        items: &[T],
    ) {
        self.list(name, items);
        if !items.is_empty() {
            self.find(status, reason, "");
        }
    }

    /// The status, and the facts with `reason` and `detail`.
    #[must_use]
    pub fn finish(mut self) -> (CheckStatus, Facts) {
        let Some(Finding { status, reason, detail }) = self.finding else {
            self.facts = self.facts.into_iter().take(FACTS).collect();
            return (CheckStatus::Ok, self.facts);
        };
        self.facts = self.facts.into_iter().take(FACTS.saturating_sub(2)).collect();
        self.facts.insert("reason".to_owned(), reason.into());
        if !detail.is_empty() {
            self.facts.insert("detail".to_owned(), cut(&detail, SENTENCE).into());
        }
        (status, self.facts)
    }
}

/// The texts with commas between; those that do not fit are counted.
fn joined<T: AsRef<str>>(items: &[T]) -> String {
    let mut out = String::new();
    for (place, item) in items.iter().enumerate() {
        let item = printable(item.as_ref());
        if out.len().saturating_add(item.len()) > LIST {
            return format!("{out} and {} more", items.len().saturating_sub(place));
        }
        if place > 0 {
            out.push_str(", ");
        }
        out.push_str(&item);
    }
    out
}

fn cut(text: &str, octets: usize) -> String {
    let mut out = String::new();
    for character in text.chars().filter(|character| !character.is_control()) {
        if out.len().saturating_add(character.len_utf8()) > octets {
            break;
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_gravest_findings_counts() {
        let mut judgement = Judgement::default();
        assert_eq!(judgement.clone().finish(), (CheckStatus::Ok, Facts::new()));
        for (status, reason) in [
            (CheckStatus::Warning, "a"),
            (CheckStatus::Unknown, "b"),
            (CheckStatus::Warning, "c"),
            (CheckStatus::Problem, "d"),
            (CheckStatus::Problem, "e"),
            (CheckStatus::Unknown, "f"),
        ] {
            judgement.find(status, reason, "");
        }
        let (status, facts) = judgement.finish();
        assert_eq!((status, &facts["reason"]), (CheckStatus::Problem, &Fact::from("d")));
    }

    #[test]
    fn results_are_bounded() {
        let mut judgement = Judgement::default();
        for number in 0..100 {
            judgement.fact(&format!("fact-{number}"), true);
        }
        let items: Vec<String> = (0..100).map(|number| format!("name-{number}\u{1b}.example")).collect();
        judgement.list("a-list", &items);
        judgement.find(CheckStatus::Warning, "x", "y".repeat(5_000));
        let (_, facts) = judgement.finish();
        assert!(facts.len() <= 48 && facts.contains_key("reason"));
        let Fact::Text(list) = &facts["a-list"] else { panic!("no text") };
        assert!(list.starts_with("name-0.example, name-1.example") && list.ends_with(" more"), "{list}");
        assert!(list.len() < 700);
        assert_eq!(facts["detail"].to_string().len(), 480);
    }
}
