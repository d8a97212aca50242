//! One symbol and one colour per outcome.

use super::Style;
use crate::{CheckStatus, Outcome};

/// Draws outcomes in a style.
pub(super) struct Paint {
    style: Style,
}

impl Paint {
    pub(super) const fn new(style: Style) -> Self {
        Self { style }
    }

    pub(super) const fn width(&self) -> Option<usize> {
        self.style.width
    }

    /// The symbol of an outcome, in its colour.
    pub(super) fn symbol(&self, outcome: Outcome) -> String {
        let symbol = if self.style.ascii { ascii(outcome) } else { unicode(outcome) };
        self.outcome(outcome, &symbol.to_string())
    }

    /// Words in the colour of an outcome.
    pub(super) fn outcome(&self, outcome: Outcome, words: &str) -> String {
        self.escape(colour(outcome), words)
    }

    /// Words in the colour of a check's status.
    pub(super) fn status(&self, status: CheckStatus, words: &str) -> String {
        let colour = match status {
            CheckStatus::Ok => "32",
            CheckStatus::Warning => "33",
            CheckStatus::Problem => "31",
            CheckStatus::Unknown => "90",
        };
        self.escape(colour, words)
    }

    /// Words that head a block.
    pub(super) fn strong(&self, words: &str) -> String {
        self.escape("1", words)
    }

    pub(super) const fn arrow(&self) -> &'static str {
        if self.style.ascii { "->" } else { "→" }
    }

    fn escape(&self, code: &str, words: &str) -> String {
        if self.style.color { format!("\u{1b}[{code}m{words}\u{1b}[0m") } else { words.to_owned() }
    }
}

/// One column wide on every terminal: `width_cjk` of each is 1, which a test holds.
pub(super) const fn unicode(outcome: Outcome) -> char {
    match outcome {
        Outcome::Open => '✓',
        Outcome::Closed => '✗',
        Outcome::Rejected => '⊘',
        Outcome::Filtered
        | Outcome::Unreachable
        | Outcome::Mute
        | Outcome::Wrong
        | Outcome::Failed
        | Outcome::Missed => ascii(outcome),
    }
}

pub(super) const fn ascii(outcome: Outcome) -> char {
    match outcome {
        Outcome::Open => '+',
        Outcome::Closed => 'x',
        Outcome::Filtered => '#',
        Outcome::Rejected => '!',
        Outcome::Unreachable => '^',
        Outcome::Mute => '~',
        Outcome::Wrong => '%',
        Outcome::Failed => '?',
        Outcome::Missed => '-',
    }
}

const fn colour(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Open => "32",
        Outcome::Closed => "34",
        Outcome::Filtered | Outcome::Rejected => "31",
        Outcome::Unreachable => "35",
        Outcome::Mute | Outcome::Wrong => "33",
        Outcome::Failed | Outcome::Missed => "90",
    }
}
