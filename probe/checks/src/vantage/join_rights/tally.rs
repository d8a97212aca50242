//! Facts and reasons in the making: the worst one is the status.

use sekisho_model::{CheckStatus, Fact, Facts};

use crate::exchange::report::printable;

/// An error that Windows shows: number and name.
pub(super) type WindowsError = (i64, &'static str);

/// What was counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    facts: Facts,
    reasons: Vec<Reason>,
}

#[derive(Debug)]
struct Reason {
    status: CheckStatus,
    word: &'static str,
    detail: String,
    error: Option<WindowsError>,
}

impl Tally {
    pub(super) fn fact(&mut self, name: &str, fact: impl Into<Fact>) {
        self.facts.insert(name.to_owned(), fact.into());
    }

    /// A text of the directory, cleaned and cut. An empty one is no fact.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        let text = printable(text);
        if !text.is_empty() {
            self.fact(name, text);
        }
    }

    pub(super) fn because(&mut self, status: CheckStatus, word: &'static str, detail: impl Into<String>) {
        self.reasons.push(Reason { status, word, detail: detail.into(), error: None });
    }

    /// A problem that a join reports with that error.
    pub(super) fn fails_with(&mut self, error: WindowsError, word: &'static str, detail: impl Into<String>) {
        let (status, error) = (CheckStatus::Problem, Some(error));
        self.reasons.push(Reason { status, word, detail: detail.into(), error });
    }

    /// The worst status with its reason; of equals the first. The others' words are in `more-reasons`.
    pub(super) fn finish(mut self) -> (CheckStatus, Facts) {
        // Stable: reasons that weigh the same keep their order.
        self.reasons.sort_by_key(|reason| std::cmp::Reverse(weight(reason.status)));
        let mut reasons = std::mem::take(&mut self.reasons).into_iter();
        let Some(worst) = reasons.next() else { return (CheckStatus::Ok, self.facts) };
        self.fact("reason", worst.word);
        self.fact("detail", worst.detail);
        if let Some((number, name)) = worst.error {
            self.fact("windows-error", number);
            self.fact("windows-error-name", name);
        }
        let more: Vec<&str> = reasons.map(|reason| reason.word).collect();
        if !more.is_empty() {
            self.fact("more-reasons", more.join(","));
        }
        (worst.status, self.facts)
    }
}

const fn weight(status: CheckStatus) -> u8 {
    match status {
        CheckStatus::Ok => 0,
        CheckStatus::Warning => 1,
        CheckStatus::Unknown => 2,
        CheckStatus::Problem => 3,
    }
}
