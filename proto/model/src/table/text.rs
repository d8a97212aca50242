//! Text that may come from strangers, and its width on a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text without what would steer a terminal: control characters and changes of writing direction become `?`.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '?',
            c if c.is_control() => '?',
            c => c,
        })
        .collect()
}

/// Columns on a terminal.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// As much of the text as fits into `columns`.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let mut used = 0_usize;
    let fits = |c: &char| {
        used = used.saturating_add(c.width().unwrap_or(0));
        used <= columns
    };
    text.chars().take_while(fits).collect()
}

/// The text followed by spaces up to `columns`.
pub(super) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// The text, `wide` columns of it visible, in the middle of `columns`.
pub(super) fn centre(text: &str, wide: usize, columns: usize) -> String {
    let spare = columns.saturating_sub(wide);
    let left = spare / 2;
    format!("{}{text}{}", " ".repeat(left), " ".repeat(spare.saturating_sub(left)))
}

/// `dc1` of `dc1.corp.example`.
pub(super) fn first_label(host: &str) -> &str {
    host.split('.').next().filter(|label| !label.is_empty()).unwrap_or(host)
}
