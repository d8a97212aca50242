//! Whatever the bytes, no decoder and no exchange panics; what was written is read back.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_checks::wire::ber::{self, INTEGER, OCTET_STRING, SEQUENCE, SET, Writer, application, context};
use sekisho_checks::wire::cldap::{Answer, Extended};
use sekisho_checks::wire::ldap::{Attribute, Entry, Message, Operation};
use sekisho_checks::wire::time::Moment;
use sekisho_checks::wire::{cldap, dns, kerberos, ldap};

use crate::targets::{EXCHANGES, TARGETS};
use crate::vectors;

static ALL: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| vectors::all().values().map(|vector| vector.hex.clone()).collect());

/// Everything at once: a case costs little, and no decoder is forgotten.
fn feed(bytes: &[u8]) {
    for (_, target) in TARGETS.into_iter().chain(EXCHANGES) {
        target(bytes);
    }
}

/// A change of a vector: where, and what.
#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    Insert(usize, u8),
    Delete(usize),
    Cut(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), 1_u8..).prop_map(|(place, bits)| Change::Flip(place, bits)),
        (any::<usize>(), any::<u8>()).prop_map(|(place, octet)| Change::Insert(place, octet)),
        any::<usize>().prop_map(Change::Delete),
        any::<usize>().prop_map(Change::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let place = |place: usize, length: usize| place.checked_rem(length).unwrap_or(0);
    let length = bytes.len();
    match *change {
        Change::Flip(at, bits) if length > 0 => bytes[place(at, length)] ^= bits,
        Change::Insert(at, octet) => bytes.insert(place(at, length), octet),
        Change::Delete(at) if length > 0 => drop(bytes.remove(place(at, length))),
        Change::Cut(at) => bytes.truncate(place(at, length)),
        Change::Flip(..) | Change::Delete(..) => {}
    }
}

fn label() -> impl Strategy<Value = String> {
    "[a-z0-9-]{1,15}"
}

fn name() -> impl Strategy<Value = String> {
    vec(label(), 1..4).prop_map(|labels| labels.join("."))
}

/// A name in labels, with a pointer to the first name if it ends with it.
fn put_name(out: &mut Vec<u8>, name: &str, first: &str) {
    let mut rest = name;
    while !rest.is_empty() {
        if rest == first && out.len() > 24 {
            out.extend([0xc0, 24]);
            return;
        }
        let (label, after) = rest.split_once('.').unwrap_or((rest, ""));
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
        rest = after;
    }
    out.push(0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn random_octets_break_nothing(bytes in vec(any::<u8>(), 0..600)) {
        feed(&bytes);
    }

    #[test]
    fn changed_vectors_break_nothing(choice: prop::sample::Index, changes in vec(change(), 0..5), options: u8) {
        let mut bytes = choice.get(&ALL).clone();
        for change in &changes {
            apply(&mut bytes, change);
        }
        feed(&bytes);
        bytes.insert(0, options);
        feed(&bytes);
    }

    #[test]
    fn entries_are_read_back(id in 0_i64..0x7fff_ffff, attributes in vec((vec(any::<u8>(), 0..20), vec(vec(any::<u8>(), 0..300), 0..4)), 0..8)) {
        let mut out = Writer::new();
        out.constructed(SEQUENCE, |message| {
            message.integer(INTEGER, id).constructed(application(4), |entry| {
                entry.primitive(OCTET_STRING, b"").constructed(SEQUENCE, |list| {
                    for (name, values) in &attributes {
                        list.constructed(SEQUENCE, |attribute| {
                            attribute.primitive(OCTET_STRING, name).constructed(SET, |set| {
                                for value in values {
                                    set.primitive(OCTET_STRING, value);
                                }
                            });
                        });
                    }
                });
            });
        });
        let bytes = out.finish();
        let attributes = attributes
            .iter()
            .map(|(name, values)| Attribute { name, values: values.iter().map(Vec::as_slice).collect() })
            .collect();
        let expected = Message { id, operation: Operation::Entry(Entry { name: b"", attributes }) };
        prop_assert_eq!(ldap::decode(&bytes), Ok(expected));
        prop_assert_eq!(ldap::measure(&bytes), Ok(Some(bytes.len())));
    }

    #[test]
    fn netlogon_answers_are_read_back(
        opcode in 23_u16..=25,
        flags: u32,
        domain_guid: [u8; 16],
        forest in name(),
        host in label(),
        user in "|[A-Z0-9]{1,12}\\$",
        site in label(),
    ) {
        let expected = Extended {
            opcode,
            flags,
            domain_guid,
            domain: forest.clone(),
            host: format!("{host}.{forest}"),
            netbios_domain: "CORP".to_owned(),
            netbios_host: host.to_uppercase(),
            user,
            dc_site: site.clone(),
            client_site: site,
            nt_version: 5,
            forest,
            ..Extended::default()
        };
        let mut bytes = opcode.to_le_bytes().to_vec();
        bytes.extend([0; 2]);
        bytes.extend(flags.to_le_bytes());
        bytes.extend(domain_guid);
        let e = &expected;
        for name in [&e.forest, &e.domain, &e.host, &e.netbios_domain, &e.netbios_host, &e.user, &e.dc_site, &e.client_site] {
            put_name(&mut bytes, name, &expected.forest);
        }
        bytes.extend([5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        prop_assert_eq!(cldap::decode_answer(&bytes), Ok(Answer::Extended(Box::new(expected))));
    }

    #[test]
    fn kerberos_errors_are_read_back(code in 0_i64..100, second in 0_i64..4_000_000_000, micros in 0_u32..1_000_000, realm in "[A-Z.]{1,40}") {
        let time = Moment::from_unix_micros(second * 1_000_000).unwrap();
        let mut out = Writer::new();
        out.constructed(application(30), |error| {
            error.constructed(SEQUENCE, |fields| {
                let mut number = |field: u8, value: i64| {
                    fields.constructed(context(field), |inner| {
                        inner.integer(INTEGER, value);
                    });
                };
                number(0, 5);
                number(1, 30);
                number(5, i64::from(micros));
                number(6, code);
                fields.constructed(context(4), |inner| {
                    inner.primitive(ber::GENERALIZED_TIME, time.rfc3339_seconds().replace(['-', ':', 'T'], "").as_bytes());
                });
                fields.constructed(context(9), |inner| {
                    inner.primitive(ber::GENERAL_STRING, realm.as_bytes());
                });
            });
        });
        let kerberos::Reply::Error(error) = kerberos::decode(&out.finish()).unwrap() else { panic!("a ticket") };
        prop_assert_eq!(error.server_time, time.plus_micros(micros).unwrap());
        prop_assert_eq!((error.code, error.realm), (code, realm));
    }

    #[test]
    fn framings_are_measured(message in vec(any::<u8>(), 12..2000), more in vec(any::<u8>(), 0..10)) {
        for (framed, measure, header) in [
            (dns::framed(&message), dns::measure as fn(&[u8]) -> _, 2),
            (kerberos::framed(&message), kerberos::measure, 4),
        ] {
            let total = framed.len();
            prop_assert_eq!(total, message.len() + header);
            let stream = [framed, more.clone()].concat();
            prop_assert_eq!(measure(&stream), Ok(Some(total)));
            for length in 0..header {
                prop_assert_eq!(measure(&stream[..length]), Ok(None));
            }
        }
    }

    #[test]
    fn queries_are_echoed_and_read_back(id: u16, name in name(), recurse: bool) {
        let question = dns::Question::new(&name, dns::Kind::A).unwrap();
        let mut message = dns::query(id, &question, recurse).unwrap();
        prop_assert!(dns::decode(&message, id, &question).is_err(), "a query is no response");
        message[2] |= 0x80;
        let response = dns::decode(&message, id, &question).unwrap().unwrap();
        prop_assert_eq!((response.rcode, response.answers.len()), (0, 0));
        prop_assert_eq!(dns::decode(&message, id ^ 1, &question), Ok(None));
    }
}
