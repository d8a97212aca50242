//! LDAP inside TLS, against a live TLS server in memory.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use sekisho_checks::exchange::{Exchange, Expected, MAX_INPUT, Progress, begin};
use sekisho_checks::wire::ldap;
use sekisho_model::{Fact, Facts};
use serde::Deserialize;

use crate::vectors::{self, Hex};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Identity {
    certificate: Hex,
    key: Hex,
    pub(crate) certificate_sha256: String,
}

/// By its name in the file.
pub(crate) fn identity_of(name: &str) -> Identity {
    let mut file: BTreeMap<String, Identity> =
        toml::from_str(include_str!("../../vectors/tls.toml")).unwrap();
    file.remove(name).unwrap()
}

fn identity() -> Identity {
    identity_of("own")
}

fn server(version: &'static SupportedProtocolVersion) -> ServerConnection {
    server_of("own", version)
}

/// A server with the identity of this name.
pub(crate) fn server_of(name: &str, version: &'static SupportedProtocolVersion) -> ServerConnection {
    let Identity { certificate, key, .. } = identity_of(name);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.0)],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.0)),
        )
        .unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

fn client(service: &str, domain: &str, host: Option<&str>) -> Box<dyn Exchange> {
    let expected =
        Expected { domain: Some(domain.to_owned()), host: host.map(str::to_owned), ..Expected::default() };
    begin(service.parse().unwrap(), &expected, 7).unwrap()
}

pub(crate) fn root_dse() -> Vec<u8> {
    let name = "rootDSE of a domain controller, lengths as Windows writes them";
    vectors::ldap().reply.into_iter().find(|reply| reply.name == name).unwrap().hex.0
}

/// Takes what the client sends; answers a whole request with `answer`.
pub(crate) fn serve(server: &mut ServerConnection, mut bytes: &[u8], answer: &[u8]) -> Vec<u8> {
    while !bytes.is_empty() {
        server.read_tls(&mut bytes).unwrap();
        server.process_new_packets().unwrap();
    }
    let mut request = vec![0; 4096];
    let read = server.reader().read(&mut request).unwrap_or(0);
    if read > 0 {
        let whole = ldap::measure(&request[..read]) == Ok(Some(read)) || request.starts_with(b"POST ");
        assert!(whole, "one whole request");
        server.writer().write_all(answer).unwrap();
    }
    let mut out = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut out).unwrap();
    }
    out
}

/// Runs the conversation, handing the client pieces of this many octets.
pub(crate) fn converse(
    client: &mut dyn Exchange,
    server: &mut ServerConnection,
    answer: &[u8],
    piece: usize,
) -> Progress {
    for _ in 0..20 {
        let sent = client.output();
        for piece in serve(server, &sent, answer).chunks(piece) {
            let progress = client.input(piece);
            if progress != Progress::Waiting {
                return progress;
            }
        }
    }
    Progress::Waiting
}

pub(crate) fn proven(progress: Progress) -> Facts {
    match progress {
        Progress::Proven(facts) => facts,
        other @ (Progress::Waiting | Progress::Wrong(_)) => panic!("{other:?}"),
    }
}

pub(crate) fn wrong(progress: Progress) -> Facts {
    match progress {
        Progress::Wrong(facts) => facts,
        other @ (Progress::Waiting | Progress::Proven(_)) => panic!("{other:?}"),
    }
}

#[test]
fn the_root_dse_is_read_inside_tls() {
    for (version, text) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        for service in ["ldaps", "gc-ssl"] {
            for piece in [1, 7, usize::MAX] {
                for host in [None, Some("dc1.corp.example"), Some("not a name")] {
                    let mut client = client(service, "corp.example", host);
                    let mut server = server(version);
                    let facts = proven(converse(client.as_mut(), &mut server, &root_dse(), piece));
                    assert_eq!(facts["tls-version"], Fact::from(text));
                    assert_eq!(facts["certificate-sha256"], Fact::from(identity().certificate_sha256));
                    assert_eq!(facts["dns-host-name"], Fact::from("DC1.corp.example"));
                    assert!(facts["tls-cipher"].to_string().starts_with("TLS"), "{facts:?}");
                    assert_eq!(server.server_name(), host.filter(|host| !host.contains(' ')));
                }
            }
        }
    }
}

#[test]
fn another_domain_is_wrong_except_on_a_global_catalog() {
    let run = |service| {
        converse(client(service, "other.example", None).as_mut(), &mut server(&TLS13), &root_dse(), 4096)
    };
    let facts = wrong(run("ldaps"));
    assert_eq!(facts["reason"], Fact::from("another-domain"));
    assert_eq!(facts["tls-version"], Fact::from("1.3"));
    proven(run("gc-ssl"));
}

#[test]
fn what_is_inside_must_be_ldap() {
    let mut client = client("ldaps", "corp.example", None);
    let facts = wrong(converse(client.as_mut(), &mut server(&TLS13), b"HTTP/1.1 400 Bad Request\r\n", 4096));
    assert_eq!(facts["reason"], Fact::from("not-ldap"));
    assert_eq!(facts["reply"], Fact::from(r"HTTP/1.1 400 Bad Request\r\n"));
}

#[test]
fn a_fatal_alert_proves_tls() {
    for piece in [1, 7] {
        let mut client = client("ldaps", "corp.example", None);
        assert!(!client.output().is_empty());
        let mut progress = Progress::Waiting;
        for piece in [0x15, 3, 3, 0, 2, 2, 40].chunks(piece) {
            assert_eq!(progress, Progress::Waiting);
            progress = client.input(piece);
        }
        assert_eq!(proven(progress)["tls-alert"], Fact::from("handshake-failure"));
    }
}

#[test]
fn an_old_version_proves_tls() {
    // ServerHello of TLS 1.0, no extensions.
    let mut hello = vec![0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 0x2f, 0]);
    let mut client = client("ldaps", "corp.example", None);
    client.output();
    let facts = proven(client.input(&hello));
    assert!(facts.contains_key("tls-incompatible"), "{facts:?}");
}

#[test]
fn what_is_not_tls_is_wrong() {
    for bytes in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-x\r\n", &[0x30, 0x0c, 2, 1, 1, 0x65, 7]]
    {
        let mut client = client("ldaps", "corp.example", None);
        client.output();
        let facts = wrong(client.input(bytes));
        assert_eq!(facts["reason"], Fact::from("not-tls"));
        assert_eq!(facts["reply"], Fact::from(bytes.escape_ascii().to_string()));
    }
}

#[test]
fn a_handshake_that_is_cut_off_proves_nothing() {
    for version in [&TLS12, &TLS13] {
        let mut first = client("ldaps", "corp.example", None);
        let flight = serve(&mut server(version), &first.output(), b"");
        for length in 0..flight.len() {
            let mut client = client("ldaps", "corp.example", None);
            client.output();
            // Not the client that the flight was made for, so all that can be proved is that something is broken.
            let progress = client.input(&flight[..length]);
            assert!(!matches!(progress, Progress::Proven(_)), "{length}: {progress:?}");
        }
    }
}

#[test]
fn input_is_bounded() {
    let mut client = client("ldaps", "corp.example", None);
    let mut server = server(&TLS13);
    // A long LDAP message begins, and goes on with one octet a record: little plaintext, much TLS.
    assert_eq!(
        converse(client.as_mut(), &mut server, &[0x30, 0x83, 0x00, 0xff, 0x00], 4096),
        Progress::Waiting
    );
    let mut endless = Vec::new();
    while endless.len() < MAX_INPUT {
        server.writer().write_all(&[0]).unwrap();
        server.write_tls(&mut endless).unwrap();
    }
    let facts = wrong(endless.chunks(1000).map(|piece| client.input(piece)).last().unwrap());
    assert_eq!(facts["reason"], Fact::from("too-long"));
    assert_eq!(facts["tls-version"], Fact::from("1.3"));
}
