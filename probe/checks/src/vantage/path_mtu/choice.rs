//! Which attributes of a rootDSE make a reply of the size that a test needs.

use std::collections::BTreeMap;

use crate::wire::ldap::{self, Operation};

/// Octets that each attribute of a reply has, with its name and its values.
pub type Sizes = BTreeMap<String, usize>;

/// Octets of tags and lengths around an attribute and around each of its values, where lengths are written as Windows does:
/// in five octets. Where they are shorter so is the reply.
const AROUND_ATTRIBUTE: usize = 3 * 6;
const AROUND_VALUE: usize = 6;
/// The same around the entry, and the end of the search after it.
const AROUND_ENTRY: usize = 64;

/// The sizes of the attributes in a reply; `None` where it holds no entry of request `id`.
#[must_use]
pub fn sizes(reply: &[u8], id: u32) -> Option<Sizes> {
    let entry = ldap::decode_all(reply).ok()?.into_iter().find_map(|message| match message.operation {
        Operation::Entry(entry) if message.id == i64::from(id) => Some(entry),
        Operation::Entry(_) | Operation::Done(_) | Operation::Extended(_) | Operation::Other(_) => None,
    })?;
    let sizes = entry.attributes.iter().map(|attribute| {
        let values = attribute.values.iter().map(|value| value.len().saturating_add(AROUND_VALUE));
        let values = values.fold(0, usize::saturating_add);
        let name = String::from_utf8_lossy(attribute.name).into_owned();
        let size = values.saturating_add(name.len()).saturating_add(AROUND_ATTRIBUTE);
        (name, size)
    });
    Some(sizes.collect())
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
        assert_eq!(sizes, Sizes::from([("a".into(), 1 + 18 + 11), ("bc".into(), 2 + 18 + 7 + 8)]));
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
            prop_assert!(encode(Some(&choose(&sizes, limit))).len() <= limit);
        }
    }
}
