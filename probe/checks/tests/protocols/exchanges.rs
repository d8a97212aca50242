//! Exchanges against the replies of `vectors/exchanges.toml`: in one piece, octet by octet, and cut off.

use sekisho_checks::exchange::{Exchange, Expected, MAX_INPUT, Progress, begin};
use sekisho_checks::wire::ber::{INTEGER, OCTET_STRING, SEQUENCE, SET, Writer, application};
use sekisho_checks::wire::{dns, kerberos};
use sekisho_model::{Fact, Facts, Protocol, Service, Transport};
use serde::Deserialize;

use crate::vectors::{self, Hex};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenarios {
    exchange: Vec<Scenario>,
}

/// What comes of a reply. It is a reply of the other files, by file and name, or octets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    service: String,
    domain: Option<String>,
    reply: Option<String>,
    hex: Option<Hex>,
    progress: Word,
    #[serde(default)]
    facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Waiting,
    Proven,
    Wrong,
}

impl Scenario {
    fn service(&self) -> Service {
        self.service.parse().unwrap()
    }

    fn begin(&self) -> Box<dyn Exchange> {
        // The ids of the vectors: 0xabcd for DNS, 1 for CLDAP.
        let nonce = if self.service().protocol() == Protocol::Dns { 0xabcd << 48 } else { 1 << 32 };
        begin(self.service(), &Expected { domain: self.domain.clone(), ..Expected::default() }, nonce)
            .unwrap()
    }

    fn expected(&self) -> Progress {
        match self.progress {
            Word::Waiting => Progress::Waiting,
            Word::Proven => Progress::Proven(self.facts.clone()),
            Word::Wrong => Progress::Wrong(self.facts.clone()),
        }
    }

    /// The octets as they travel.
    fn bytes(&self) -> Vec<u8> {
        let Some(key) = &self.reply else { return self.hex.clone().unwrap().0 };
        let message = reply(key);
        let service = self.service();
        match (service.protocol(), service.transport()) {
            (Protocol::Dns, Transport::Tcp) => dns::framed(&message),
            (Protocol::Kerberos, Transport::Tcp) => kerberos::framed(&message),
            _ => message,
        }
    }

    fn is_stream(&self) -> bool {
        self.service().transport() == Transport::Tcp
    }
}

/// A reply of another file: `kerberos: a ticket`. Without framing; a netlogon answer in its messages.
fn reply(key: &str) -> Vec<u8> {
    let (file, name) = key.split_once(": ").unwrap();
    let bytes =
        vectors::all().remove(&format!("{file} reply: {name}")).unwrap_or_else(|| panic!("no reply {key}"));
    match file {
        "kerberos" if bytes.starts_with(&[0, 0]) => bytes[4..].to_vec(),
        "cldap" if !bytes.starts_with(&[SEQUENCE]) => enveloped(&bytes),
        _ => bytes,
    }
}

/// A netlogon answer in an entry, and the end of the search.
fn enveloped(answer: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(SEQUENCE, |message| {
        message.integer(INTEGER, 1).constructed(application(4), |entry| {
            entry.primitive(OCTET_STRING, b"").constructed(SEQUENCE, |list| {
                list.constructed(SEQUENCE, |attribute| {
                    attribute.primitive(OCTET_STRING, b"Netlogon").constructed(SET, |values| {
                        values.primitive(OCTET_STRING, answer);
                    });
                });
            });
        });
    });
    [out.finish(), b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec()].concat()
}

fn scenarios() -> Vec<Scenario> {
    let file: Scenarios = toml::from_str(include_str!("../../vectors/exchanges.toml")).unwrap();
    file.exchange
}

/// The fact `reply` shows what there was to see, so it depends on how the stream was cut into reads.
fn without_reply(progress: Progress) -> Progress {
    match progress {
        Progress::Wrong(mut facts) => {
            facts.remove("reply");
            Progress::Wrong(facts)
        }
        other @ (Progress::Waiting | Progress::Proven(_)) => other,
    }
}

#[test]
fn replies_in_one_piece() {
    for scenario in scenarios() {
        let mut exchange = scenario.begin();
        assert!(!exchange.output().is_empty(), "{}", scenario.name);
        let progress = exchange.input(&scenario.bytes());
        assert_eq!(progress, scenario.expected(), "{}", scenario.name);
        if scenario.progress != Word::Waiting {
            assert_eq!(exchange.input(b"anything"), progress, "{}: a verdict is final", scenario.name);
        }
    }
}

#[test]
fn replies_octet_by_octet() {
    for scenario in scenarios().into_iter().filter(Scenario::is_stream) {
        let mut exchange = scenario.begin();
        let mut progress = Progress::Waiting;
        for octet in scenario.bytes() {
            progress = exchange.input(&[octet]);
            if progress != Progress::Waiting {
                break;
            }
        }
        assert_eq!(without_reply(progress), without_reply(scenario.expected()), "{}", scenario.name);
    }
}

/// Octets of the reply that are enough for the verdict: LDAP has it with the entry, before the end of the search.
fn enough(scenario: &Scenario, bytes: &[u8]) -> usize {
    if !scenario.is_stream() {
        return bytes.len();
    }
    (0..=bytes.len())
        .find(|length| scenario.begin().input(&bytes[..*length]) != Progress::Waiting)
        .unwrap_or(bytes.len())
}

#[test]
fn replies_that_are_cut_off_prove_nothing() {
    for scenario in scenarios().into_iter().filter(|scenario| scenario.progress == Word::Proven) {
        let bytes = scenario.bytes();
        let enough = enough(&scenario, &bytes);
        let after_entry = sekisho_checks::wire::ber::measure(&bytes, bytes.len(), "test").ok().flatten();
        let ldap = matches!(scenario.service().protocol(), Protocol::Ldap);
        assert!(
            enough == bytes.len() || (ldap && Some(enough) == after_entry),
            "{}: {enough}",
            scenario.name
        );
        for length in 0..enough {
            let progress = scenario.begin().input(&bytes[..length]);
            assert!(!matches!(progress, Progress::Proven(_)), "{} at {length}", scenario.name);
            if scenario.is_stream() {
                assert_eq!(progress, Progress::Waiting, "{} at {length}", scenario.name);
            }
        }
    }
}

#[test]
fn an_echo_of_the_request_proves_nothing() {
    for scenario in scenarios() {
        let mut exchange = scenario.begin();
        let request = exchange.output();
        let progress = exchange.input(&request);
        assert!(!matches!(progress, Progress::Proven(_)), "{}: {progress:?}", scenario.name);
    }
}

#[test]
fn every_supported_service_has_an_exchange_and_a_scenario() {
    for service in Service::catalogue() {
        let has = begin(service, &Expected::default(), 7).is_some();
        let wants = !matches!(service.protocol(), Protocol::Echo | Protocol::Handshake);
        assert_eq!(has, wants, "{service}");
        // What TLS says is made by a live server in another test.
        if wants && service.protocol() != Protocol::Ldaps {
            for word in [Word::Proven, Word::Wrong] {
                let found = scenarios().iter().any(|s| s.service() == service && s.progress == word);
                assert!(found, "{service} has no scenario that is {word:?}");
            }
        }
    }
    assert!(begin("tcp/8443".parse().unwrap(), &Expected::default(), 7).is_none());
}

#[test]
fn requests_of_two_checks_differ_and_of_one_nonce_do_not() {
    for service in Service::catalogue().filter(|service| begin(*service, &Expected::default(), 7).is_some()) {
        let request = |nonce| begin(service, &Expected::default(), nonce).unwrap().output();
        match service.protocol() {
            // TLS has randomness of its own, these two have nothing to vary.
            Protocol::Ldaps | Protocol::EndpointMapper | Protocol::Ldap => {}
            Protocol::Dns
            | Protocol::Kerberos
            | Protocol::Cldap
            | Protocol::Smb
            | Protocol::Echo
            | Protocol::Ntp
            | Protocol::Kpasswd
            | Protocol::Rpc(_)
            | Protocol::Adws
            | Protocol::Winrm
            | Protocol::WinrmTls
            | Protocol::NetbiosNs
            | Protocol::NetbiosDgm
            | Protocol::NetbiosSsn
            | Protocol::Handshake => {
                assert_eq!(request(1 << 50), request(1 << 50), "{service}");
                assert_ne!(request(1 << 50), request(2 << 50), "{service}");
            }
        }
    }
}

#[test]
fn a_domain_that_dns_cannot_carry_is_not_asked_for() {
    let expected = Expected { domain: Some("a".repeat(64)), ..Expected::default() };
    for service in ["dns-udp", "dns-tcp"] {
        assert!(begin(service.parse().unwrap(), &expected, 7).is_some(), "{service}");
    }
}

#[test]
fn endless_replies_end() {
    // A message that is understood and ignored, over and over: an LDAP intermediate response does not come here, so
    // a long message that never completes stands for it.
    let mut exchange = begin("ldap".parse().unwrap(), &Expected::default(), 7).unwrap();
    assert_eq!(exchange.input(&[0x30, 0x83, 0x00, 0xff, 0xf0]), Progress::Waiting);
    let progress = exchange.input(&vec![0; MAX_INPUT]);
    let reason = match &progress {
        Progress::Wrong(facts) => facts.get("reason").cloned(),
        Progress::Waiting | Progress::Proven(_) => None,
    };
    assert!(reason == Some(Fact::from("too-long")) || reason == Some(Fact::from("not-ldap")), "{progress:?}");
}
