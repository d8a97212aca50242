//! Exchanges against the replies of `vectors/exchanges.toml`: in one piece, octet by octet, and cut off.

use sekisho_checks::exchange::{
    Exchange, Expected, MAPPER, MAX_INPUT, Progress, begin, begin_at, close_proves_nothing,
    silence_proves_nothing,
};
use sekisho_checks::flow::Ending;
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

/// What comes of replies, one after the other, and of the end after them. They are replies of the other files, by file
/// and name, or octets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    service: String,
    /// Where it is not the service's: an RPC interface, on its own port.
    port: Option<u16>,
    domain: Option<String>,
    host: Option<String>,
    reply: Option<String>,
    #[serde(default)]
    then: Vec<String>,
    hex: Option<Hex>,
    end: Option<End>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum End {
    Closed,
    Reset,
    Silent,
}

impl End {
    fn ending(self) -> Ending {
        match self {
            Self::Closed => Ending::Eof,
            Self::Reset => Ending::Reset,
            Self::Silent => Ending::Silence,
        }
    }
}

impl Scenario {
    fn service(&self) -> Service {
        self.service.parse().unwrap()
    }

    fn begin(&self) -> Box<dyn Exchange> {
        // The ids of the vectors: 0xabcd for DNS, 1 for CLDAP.
        let nonce = if self.service().protocol() == Protocol::Dns { 0xabcd << 48 } else { 1 << 32 };
        let expected =
            Expected { domain: self.domain.clone(), host: self.host.clone(), ..Expected::default() };
        let port = self.port.or(self.service().port()).unwrap_or(MAPPER);
        begin_at(self.service(), port, &expected, nonce).unwrap()
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
        if let Some(octets) = &self.hex {
            return octets.0.clone();
        }
        self.reply.iter().chain(&self.then).flat_map(|key| self.framed(key)).collect()
    }

    fn framed(&self, key: &str) -> Vec<u8> {
        let message = reply(key);
        let service = self.service();
        match (service.protocol(), service.transport()) {
            (Protocol::Dns, Transport::Tcp) => dns::framed(&message),
            (Protocol::Kerberos | Protocol::Kpasswd, Transport::Tcp) => kerberos::framed(&message),
            _ => message,
        }
    }

    /// Everything that comes is handed over, in pieces of this many octets, and then the end.
    fn run(&self, piece: usize) -> Progress {
        let mut exchange = self.begin();
        assert!(!exchange.output().is_empty(), "{}", self.name);
        let mut progress = Progress::Waiting;
        for piece in self.bytes().chunks(piece) {
            progress = exchange.input(piece);
            if progress != Progress::Waiting {
                break;
            }
            exchange.output();
        }
        let Some(end) = self.end else { return progress };
        assert_eq!(progress, Progress::Waiting, "{} before its end", self.name);
        let proven = exchange.is_proven();
        let ended = exchange.ended(end.ending());
        assert!(!proven || matches!(ended, Some(Progress::Proven(_))), "{}: proven is proven", self.name);
        assert_eq!(exchange.ended(end.ending()), ended, "{}: it ends once", self.name);
        ended.unwrap_or(Progress::Waiting)
    }

    fn is_stream(&self) -> bool {
        self.service().transport() == Transport::Tcp
    }
}

/// A reply of another file: `kerberos: a ticket`. Without framing; a netlogon answer in its messages.
fn reply(key: &str) -> Vec<u8> {
    if key == "alert: fatal" {
        // RFC 8446 6.2, handshake_failure.
        return vec![0x15, 3, 3, 0, 2, 2, 40];
    }
    let (file, name) = key.split_once(": ").unwrap();
    let found = vectors::all().get(&format!("{file} reply: {name}"));
    let bytes = found.unwrap_or_else(|| panic!("no reply {key}")).hex.clone();
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
        assert_eq!(scenario.run(usize::MAX), scenario.expected(), "{}", scenario.name);
    }
}

#[test]
fn a_verdict_is_final() {
    for scenario in scenarios().into_iter().filter(|it| it.progress != Word::Waiting && it.end.is_none()) {
        let mut exchange = scenario.begin();
        exchange.output();
        let progress = exchange.input(&scenario.bytes());
        assert_eq!(exchange.input(b"anything"), progress, "{}", scenario.name);
    }
}

#[test]
fn replies_octet_by_octet() {
    for scenario in scenarios().into_iter().filter(Scenario::is_stream) {
        let expected = without_reply(scenario.expected());
        assert_eq!(without_reply(scenario.run(1)), expected, "{}", scenario.name);
    }
}

/// Octets of the replies that are enough for the verdict: LDAP without StartTLS after it has it with the entry, before the
/// end of the search.
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
        let catalog = scenario.service().name() == "gc";
        assert!(
            enough == bytes.len() || (catalog && Some(enough) == after_entry),
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
        if wants && !matches!(service.protocol(), Protocol::Ldaps | Protocol::WinrmTls) {
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
            // TLS has randomness of its own, the others have nothing to vary.
            Protocol::Ldaps
            | Protocol::WinrmTls
            | Protocol::EndpointMapper
            | Protocol::Ldap
            | Protocol::Rpc(_)
            | Protocol::Adws
            | Protocol::Winrm => {}
            Protocol::Dns
            | Protocol::Kerberos
            | Protocol::Cldap
            | Protocol::Smb
            | Protocol::Echo
            | Protocol::Ntp
            | Protocol::Kpasswd
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
fn a_datagram_of_netbios_carries_its_return_address() {
    let expected = Expected { domain: Some("corp.example".to_owned()), ..Expected::default() };
    let request = |own: &str| {
        let mut exchange = begin("netbios-dgm".parse().unwrap(), &expected, 7).unwrap();
        exchange.bound(own.parse().unwrap());
        exchange.output()
    };
    assert_eq!(request("10.77.10.20:40000")[4..10], [10, 77, 10, 20, 0x9c, 0x40]);
    assert_eq!(request("[2001:db8::1]:40000")[4..10], [0; 6], "it has no address for IPv6");
}

#[test]
fn silence_and_a_close_of_some_services_prove_nothing() {
    let names = |of: fn(Service) -> bool| -> Vec<String> {
        Service::catalogue().filter(|service| of(*service)).map(Service::name).collect()
    };
    assert_eq!(names(silence_proves_nothing), ["kpasswd-udp", "netbios-dgm"]);
    assert_eq!(names(close_proves_nothing), ["kpasswd-udp", "kpasswd-tcp"]);
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
