//! Which attributes of a rootDSE make a reply of the size that a test needs.

use std::collections::BTreeMap;

use crate::wire::ldap::{self, Operation};

/// Octets that each attribute of a reply has, with its name and its values.
pub type Sizes = BTreeMap<String, usize>;

/// Octets around the entry, and of the end of the search after it, where lengths are written in five octets.
const AROUND_ENTRY: usize = 64;
/// The first octet of a length that is written in five, as Windows writes all of them.
const LONG_FORM: u8 = 0x84;

/// The sizes of the attributes in a reply; `None` where it holds no entry of request `id`.
#[must_use]
pub fn sizes(reply: &[u8], id: u32) -> Option<Sizes> {
    let entry = ldap::decode_all(reply).ok()?.into_iter().find_map(|message| match message.operation {
        Operation::Entry(entry) if message.id == i64::from(id) => Some(entry),
        Operation::Entry(_) | Operation::Done(_) | Operation::Extended(_) | Operation::Other(_) => None,
    })?;
    let long_form = reply.get(1) == Some(&LONG_FORM);
    let element = |contents: usize| contents.saturating_add(around(contents, long_form));
    let sizes = entry.attributes.iter().map(|attribute| {
        let values = attribute.values.iter().map(|value| element(value.len())).fold(0, usize::saturating_add);
        let size = element(element(attribute.name.len()).saturating_add(element(values)));
        (String::from_utf8_lossy(attribute.name).into_owned(), size)
    });
    Some(sizes.collect())
}

/// Octets of the tag and the length before so many of contents.
const fn around(contents: usize, long_form: bool) -> usize {
    match contents {
        _ if long_form => 6,
        0..=0x7f => 2,
        0x80..=0xff => 3,
        _ => 4,
    }
}

/// Attributes whose reply has at most `limit` octets, and not much less where the sizes allow: the largest that still fits,
/// again and again.
#[must_use]
pub fn choose(sizes: &Sizes, limit: usize) -> Vec<&str> {
    let mut all: Vec<(&str, usize)> = sizes.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    all.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let mut room = limit.saturating_sub(AROUND_ENTRY);
    let mut chosen = Vec::new();
    for (name, size) in all {
        if let Some(left) = room.checked_sub(size) {
            room = left;
            chosen.push(name);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::ber::{ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE, SET, Writer, application};

    fn reply(id: i64, attributes: &[(&str, &[&str])]) -> Vec<u8> {
        let mut out = Writer::new();
        out.constructed(SEQUENCE, |message| {
            message.integer(INTEGER, id).constructed(application(4), |entry| {
                entry.primitive(OCTET_STRING, b"").constructed(SEQUENCE, |list| {
                    for (name, values) in attributes {
                        list.constructed(SEQUENCE, |partial| {
                            partial.primitive(OCTET_STRING, name.as_bytes()).constructed(SET, |set| {
                                for value in *values {
                                    set.primitive(OCTET_STRING, value.as_bytes());
                                }
                            });
                        });
                    }
                });
            });
        });
        out.constructed(SEQUENCE, |message| {
            message.integer(INTEGER, id).constructed(application(5), |done| {
                done.integer(ENUMERATED, 0).primitive(OCTET_STRING, b"").primitive(OCTET_STRING, b"");
            });
        });
        out.finish()
    }

    #[test]
    fn sizes_are_read_from_the_entry_of_the_request() {
        let bytes = reply(3, &[("a", &["12345"]), ("bc", &["1", "22"])]);
        let sizes = sizes(&bytes, 3).unwrap();
        assert_eq!(sizes, Sizes::from([("a".into(), 2 + 3 + 2 + 7), ("bc".into(), 2 + 4 + 2 + 7)]));
        assert_eq!(super::sizes(&bytes, 4), None);
        assert_eq!(super::sizes(b"nonsense", 3), None);
    }

    #[test]
    fn the_choice_fits_and_fills() {
        let sizes = Sizes::from([("a".into(), 700), ("b".into(), 600), ("c".into(), 500), ("d".into(), 90)]);
        assert_eq!(choose(&sizes, 1_472), ["a", "b", "d"]);
        assert_eq!(choose(&sizes, 800), ["a"]);
        assert_eq!(choose(&sizes, 10), [""; 0]);
    }

    proptest! {
        #[test]
        fn a_reply_with_the_choice_is_within_the_limit(
            values in proptest::collection::vec((1_usize..300, 1_usize..20), 1..20), limit in 100_usize..3_000,
        ) {
            let texts: Vec<(String, Vec<String>)> = values
                .iter()
                .enumerate()
                .map(|(n, (length, count))| (format!("attribute{n}"), vec!["v".repeat(*length); *count]))
                .collect();
            let whole: Vec<(&str, Vec<&str>)> =
                texts.iter().map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect())).collect();
            let encode = |names: Option<&[&str]>| {
                let some: Vec<(&str, &[&str])> = whole
                    .iter()
                    .filter(|(name, _)| names.is_none_or(|names| names.contains(name)))
                    .map(|(name, values)| (*name, values.as_slice()))
                    .collect();
                reply(1, &some)
            };
            let sizes = sizes(&encode(None), 1).unwrap();
            let chosen = encode(Some(&choose(&sizes, limit)));
            prop_assert!(chosen.len() <= limit.max(AROUND_ENTRY));
            let each: usize = sizes.values().sum();
            prop_assert!(each + AROUND_ENTRY >= encode(None).len());
        }
    }
}
