//! Facts and verdicts from what a peer sent: bounded, and safe to print.

use sekisho_model::{Fact, Facts};

use super::Progress;
use crate::wire::time::Moment;

/// A text from a peer is cut to this many octets.
pub(crate) const MAX_TEXT: usize = 256;
/// A list of texts from a peer is cut to this many octets, at a whole text.
pub(crate) const MAX_LIST: usize = 1024;
/// This many octets of a strange reply are shown.
const MAX_REPLY: usize = 32;

/// Facts in the making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report(Facts);

impl Report {
    pub(crate) fn fact(mut self, name: &str, fact: impl Into<Fact>) -> Self {
        self.0.insert(name.to_owned(), fact.into());
        self
    }

    /// A text of the peer. An empty one is no fact.
    pub(crate) fn text(self, name: &str, text: &str) -> Self {
        let text = printable(text);
        if text.is_empty() { self } else { self.fact(name, text) }
    }

    /// A text of the peer, if it sent one.
    pub(crate) fn octets(self, name: &str, octets: Option<&[u8]>) -> Self {
        match octets {
            Some(octets) => self.text(name, &String::from_utf8_lossy(octets)),
            None => self,
        }
    }

    /// Texts of the peer with commas between them. An empty list is no fact.
    pub(crate) fn list(self, name: &str, texts: impl IntoIterator<Item = String>) -> Self {
        let mut list = String::new();
        for text in texts {
            let text = printable(&text);
            if list.len().saturating_add(text.len()).saturating_add(1) > MAX_LIST {
                break;
            }
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(&text);
        }
        if list.is_empty() { self } else { self.fact(name, list) }
    }

    /// A time of the peer, with microseconds, if it sent one.
    pub(crate) fn moment(self, name: &str, moment: Option<Moment>) -> Self {
        match moment {
            Some(moment) => self.fact(name, moment.rfc3339_micros()),
            None => self,
        }
    }

    /// The same facts, with this before each name.
    pub(crate) fn under(self, prefix: &str) -> Self {
        Self(self.0.into_iter().map(|(name, fact)| (format!("{prefix}{name}"), fact)).collect())
    }

    pub(crate) fn facts(self) -> Facts {
        self.0
    }

    pub(crate) fn proven(self) -> Progress {
        Progress::Proven(self.0)
    }

    /// The reason is a word or several with hyphens.
    pub(crate) fn wrong(self, reason: &str) -> Progress {
        Progress::Wrong(self.fact("reason", reason).0)
    }

    /// The first octets of a reply that was not understood.
    pub(crate) fn reply(self, bytes: &[u8]) -> Self {
        let shown = bytes.get(..MAX_REPLY).unwrap_or(bytes);
        if shown.is_empty() { self } else { self.fact("reply", shown.escape_ascii().to_string()) }
    }
}

/// The text without characters that a terminal would act on, cut to [`MAX_TEXT`] octets.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars().filter(|character| !is_control(*character)) {
        if out.len().saturating_add(character.len_utf8()) > MAX_TEXT {
            break;
        }
        out.push(character);
    }
    out
}

/// Controls, and the invisible characters that reorder or hide text.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether two DNS names are the same: without case, with or without a trailing dot.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_cleaned() {
        assert_eq!(printable("a\u{1b}[31mb\0\u{202e}c\n"), "a[31mbc");
        assert_eq!(printable(&"é".repeat(200)).len(), 256);
        assert_eq!(printable(&format!("a{}", "é".repeat(200))).len(), 255);
    }

    #[test]
    fn a_list_ends_with_a_whole_text() {
        let Progress::Proven(facts) =
            Report::default().list("names", (0..100).map(|_| "x".repeat(20))).proven()
        else {
            panic!("not proven")
        };
        let Fact::Text(list) = &facts["names"] else { panic!("no text") };
        assert!((MAX_LIST - 21..=MAX_LIST).contains(&list.len()), "{}", list.len());
        assert!(list.split(',').all(|text| text.len() == 20));
        assert_eq!(Report::default().list("names", Vec::new()), Report::default());
    }

    #[test]
    fn a_strange_reply_is_shown_as_ascii() {
        let progress =
            Report::default().reply(b"HTTP/1.1 400 \r\n\xff and much more that nobody reads").wrong("not-x");
        let Progress::Wrong(facts) = progress else { panic!("not wrong") };
        assert_eq!(facts["reply"], Fact::from(r"HTTP/1.1 400 \r\n\xff and much more t"));
        assert_eq!(facts["reason"], Fact::from("not-x"));
    }

    #[test]
    fn names_are_compared_as_dns_does() {
        assert!(same_name("Corp.Example.", "corp.example"));
        assert!(!same_name("corp.example", "example"));
    }
}
