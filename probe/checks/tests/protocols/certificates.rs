//! What the certificate of a live TLS server in memory becomes: on LDAPS, after StartTLS, and before WinRM.

use rustls::ServerConnection;
use rustls::version::{TLS12, TLS13};
use sekisho_checks::exchange::{Exchange, Expected, MAX_INPUT, Progress, begin};
use sekisho_checks::flow::Ending;
use sekisho_checks::wire::ldap;
use sekisho_model::{Fact, Facts};

use crate::tls::{converse, identity_of, proven, root_dse, serve, server_of, wrong};
use crate::vectors;

/// 2026-11-24T00:00:00Z: within the one day of the identity `own`.
const WITHIN: i64 = 1_795_478_400;
const DAY: i64 = 86_400;

fn client(service: &str, host: Option<&str>, now: Option<i64>) -> Box<dyn Exchange> {
    let domain = Some("corp.example".to_owned());
    let expected = Expected { domain, host: host.map(str::to_owned), now };
    begin(service.parse().unwrap(), &expected, 7).unwrap()
}

fn octets(key: &str) -> &'static [u8] {
    &vectors::all()[key].hex
}

fn ldaps(identity: &str, host: Option<&str>, now: Option<i64>) -> Facts {
    let mut server = server_of(identity, &TLS13);
    proven(converse(client("ldaps", host, now).as_mut(), &mut server, &root_dse(), usize::MAX))
}

/// The flags that tell of a fault.
fn faults(facts: &Facts) -> Vec<&str> {
    let known = ["self-signed", "no-san", "expired", "not-yet-valid", "name-mismatch", "unreadable"];
    let found = known.into_iter().filter(|it| facts.contains_key(&format!("certificate-{it}")));
    found.inspect(|it| assert_eq!(facts[&format!("certificate-{it}")], Fact::Flag(true), "{it}")).collect()
}

#[test]
fn a_certificate_is_told() {
    let facts = ldaps("wildcard", None, None);
    for (name, expected) in [
        ("certificate-subject", "CN=corp.example"),
        ("certificate-issuer", "CN=CORP-CA"),
        ("certificate-names", "*.corp.example,corp.example"),
        ("certificate-not-before", "2026-01-01T00:00:00Z"),
        ("certificate-not-after", "2100-01-01T00:00:00Z"),
        ("certificate-key", "ec-p256"),
        ("certificate-signature", "sha256-ecdsa"),
        ("certificate-sha256", &identity_of("wildcard").certificate_sha256),
    ] {
        assert_eq!(facts[name], Fact::from(expected), "{name}");
    }
    assert_eq!(facts["certificate-server-auth"], Fact::Flag(true));
    assert_eq!(faults(&facts), [] as [&str; 0]);
}

#[test]
fn a_certificate_is_judged_by_time_and_name() {
    let own = ["self-signed", "no-san"];
    for (identity, host, now, expected) in [
        ("own", None, None, own.to_vec()),
        ("own", Some("DC1.corp.example"), Some(WITHIN), own.to_vec()),
        ("own", None, Some(WITHIN + DAY), [own.as_slice(), &["expired"]].concat()),
        ("own", None, Some(WITHIN - DAY), [own.as_slice(), &["not-yet-valid"]].concat()),
        ("own", Some("dc2.corp.example"), None, [own.as_slice(), &["name-mismatch"]].concat()),
        ("wildcard", Some("dc2.corp.example"), Some(WITHIN), vec![]),
        ("wildcard", Some("corp.example"), None, vec![]),
        ("wildcard", Some("dc1.other.example"), None, vec!["name-mismatch"]),
        ("wildcard", Some("10.77.1.10"), None, vec![]),
    ] {
        assert_eq!(faults(&ldaps(identity, host, now)), expected, "{identity} {host:?} {now:?}");
    }
}

/// The rootDSE, the agreement to StartTLS, and then TLS with this server.
fn start_tls(client: &mut dyn Exchange, server: &mut ServerConnection, piece: usize) -> Progress {
    assert!(ldap::measure(&client.output()).is_ok());
    assert!(!client.is_proven());
    assert_eq!(client.input(&root_dse()), Progress::Waiting);
    assert!(client.is_proven(), "the rootDSE is the proof");
    assert_eq!(client.output(), ldap::starttls_request(2));
    assert_eq!(client.input(octets("ldap reply: StartTLS agreed")), Progress::Waiting);
    for _ in 0..10 {
        for piece in serve(server, &client.output(), b"").chunks(piece) {
            let progress = client.input(piece);
            if progress != Progress::Waiting {
                return progress;
            }
        }
    }
    Progress::Waiting
}

#[test]
fn starttls_adds_the_certificate() {
    for (version, text) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        for piece in [1, 7, usize::MAX] {
            let mut client = client("ldap", Some("dc9.corp.example"), Some(WITHIN + DAY));
            let facts = proven(start_tls(client.as_mut(), &mut server_of("own", version), piece));
            assert_eq!(facts["starttls"], Fact::from("ok"));
            assert_eq!(facts["starttls-tls-version"], Fact::from(text));
            let digest = Fact::from(identity_of("own").certificate_sha256);
            assert_eq!(facts["starttls-certificate-sha256"], digest);
            for fault in ["expired", "self-signed", "no-san", "name-mismatch"] {
                assert_eq!(facts[&format!("starttls-certificate-{fault}")], Fact::Flag(true), "{fault}");
            }
            assert_eq!(facts["dns-host-name"], Fact::from("DC1.corp.example"), "what the rootDSE said");
            assert!(!facts.contains_key("certificate-sha256"));
            assert!(facts.len() <= 48, "{}", facts.len());
        }
    }
}

#[test]
fn starttls_that_stops_is_told() {
    for (ending, word) in [(Ending::Eof, "closed"), (Ending::Reset, "reset"), (Ending::Silence, "silent")] {
        let mut client = client("ldap", None, None);
        client.output();
        client.input(&[root_dse().as_slice(), octets("ldap reply: StartTLS agreed")].concat());
        assert!(client.output().starts_with(&[0x16, 3]), "a ClientHello");
        let facts = proven(client.ended(ending).unwrap());
        assert_eq!(facts["starttls"], Fact::from(word));
        assert_eq!(facts["dns-host-name"], Fact::from("DC1.corp.example"));
    }
}

#[test]
fn starttls_input_is_bounded() {
    let mut client = client("ldap", None, None);
    client.output();
    client.input(&[root_dse().as_slice(), octets("ldap reply: StartTLS agreed")].concat());
    // Records of a handshake message that announces 16 MiB and never ends.
    let record = [&[0x16, 3, 3, 0x01, 0x00, 2, 0xff, 0xff, 0xff][..], &[0; 252]].concat();
    let mut progress = Progress::Waiting;
    for _ in 0..=MAX_INPUT / record.len() {
        progress = client.input(&record);
    }
    let facts = proven(progress);
    assert!([Fact::from("too-long"), Fact::from("not-understood")].contains(&facts["starttls"]), "{facts:?}");
}

#[test]
fn winrm_is_asked_inside_tls() {
    for piece in [1, usize::MAX] {
        let identified = octets("http reply: identified, as Windows answers strangers");
        let mut asking = client("winrm-tls", Some("dc1.corp.example"), Some(WITHIN));
        let facts = proven(converse(asking.as_mut(), &mut server_of("wildcard", &TLS13), identified, piece));
        assert_eq!(facts["http-status"], Fact::Integer(200));
        assert_eq!(facts["wsman"], Fact::Flag(true));
        assert_eq!(facts["tls-version"], Fact::from("1.3"));
        assert_eq!(facts["certificate-issuer"], Fact::from("CN=CORP-CA"));
        let web = octets("http reply: a web server");
        let mut asking = client("winrm-tls", None, None);
        let facts = wrong(converse(asking.as_mut(), &mut server_of("own", &TLS12), web, piece));
        assert_eq!(facts["reason"], Fact::from("not-winrm"));
        assert!(facts.contains_key("certificate-sha256"));
    }
}

#[test]
fn an_end_before_anything_is_said_inside_speaks_for_itself() {
    for service in ["ldaps", "gc-ssl", "winrm-tls"] {
        for ending in [Ending::Eof, Ending::Reset, Ending::Silence] {
            let mut client = client(service, None, None);
            assert!(!client.output().is_empty());
            assert_eq!(client.ended(ending), None, "{service}");
        }
    }
}
