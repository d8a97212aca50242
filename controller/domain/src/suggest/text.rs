//! Drafts as they stand in an inventory file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{Draft, Suggestion};
use crate::inventory::Expectation;

/// Longest name before a number is put to it, letters.
const NAME: usize = 56;
/// Most vantages that a comment names.
const NAMED: usize = 6;

/// A name that says what the draft is about and that nobody has: `allow-server-to-corp.example`.
pub(super) fn name(
    expect: Expectation,
    from: &BTreeMap<String, String>,
    to: &BTreeMap<String, String>,
    taken: &BTreeSet<String>,
) -> String {
    let word = |map: &BTreeMap<String, String>| map.values().cloned().collect::<Vec<_>>().join("-");
    let from = if from.is_empty() { "all".to_owned() } else { word(from) };
    let whole = format!("{expect}-{from}-to-{}", word(to));
    let letter = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let base: String = whole.chars().map(letter).take(NAME).collect();
    let numbered = (2_u32..).map(|number| format!("{base}-{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default()
}

impl Suggestion {
    /// The drafts as TOML, to be put to an inventory. `about` says what they were made from: a line for each of its own.
    #[must_use]
    pub fn toml(&self, about: &str) -> String {
        let mut out = String::new();
        for line in about.lines() {
            _ = writeln!(out, "# {}", plain(line));
        }
        for (count, why) in [
            (self.not_known, "failed, missed or wrong, so nothing is suggested for them"),
            (
                self.left_out,
                "that no policy can name: vantages or targets that are not told apart by name or address",
            ),
        ] {
            if count > 0 {
                _ = writeln!(out, "# {count} flow{} {why}.", if count == 1 { "" } else { "s" });
            }
        }
        for draft in &self.policies {
            out.push('\n');
            out.push_str(&entry(draft));
        }
        out
    }
}

fn entry(draft: &Draft) -> String {
    let mut vantages = draft.vantages.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if let more @ 1.. = draft.vantages.len().saturating_sub(NAMED) {
        _ = write!(vantages, " and {more} more");
    }
    let mut out = format!("# fits {}\n[[policy]]\nname = {}\n", plain(&vantages), quoted(&draft.name));
    for (field, conditions) in [("from", &draft.from), ("to", &draft.to)] {
        if !conditions.is_empty() {
            let pairs: Vec<String> =
                conditions.iter().map(|(key, value)| format!("{} = {}", bare(key), quoted(value))).collect();
            _ = writeln!(out, "{field} = {{ {} }}", pairs.join(", "));
        }
    }
    match &draft.profile {
        Some(profile) => _ = writeln!(out, "profile = {}", quoted(profile)),
        None => {
            let services: Vec<String> =
                draft.services.iter().map(|service| quoted(&service.name())).collect();
            _ = writeln!(out, "services = [{}]", services.join(", "));
        }
    }
    _ = writeln!(out, "expect = \"{}\"", draft.expect);
    out
}

/// A key, in quotes where it needs them.
fn bare(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if is_bare { key.to_owned() } else { quoted(key) }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => _ = write!(out, "\\U{:08X}", u32::from(letter)),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// A text in a comment.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}
