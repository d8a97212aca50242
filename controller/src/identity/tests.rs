//! The fleet listener's TLS, against a real client over real sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName},
};
use sekisho_proto::CONTROLLER_NAME;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::StreamExt;
use tonic::transport::server::Connected;
use uuid::Uuid;

use super::{Authority, ClientVerifier, Identity, ServerIdentity, pin};
use crate::{
    data_dir::DataDir,
    service::{CertificateIssuer, IssueError, Issued},
};

fn authority() -> Authority {
    let (key, certificate) = Authority::generate(Uuid::new_v4()).unwrap();
    Authority::read(&key, &certificate).unwrap()
}

/// A listener that says `1` to clients with a certificate and `0` to those without.
struct Listener {
    authority: Authority,
    verifier: Arc<ClientVerifier>,
    address: SocketAddr,
    _end: watch::Sender<bool>,
}

impl Listener {
    async fn start() -> Self {
        let authority = authority();
        let verifier = ClientVerifier::new(&[authority.certificate().to_vec()], vec![]).unwrap();
        let server = ServerIdentity::new(&authority, Timestamp::now()).unwrap();
        let tls = TlsAcceptor::from(Arc::new(server.config(verifier.clone()).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = watch::channel(false);
        let mut incoming = super::incoming(listener, tls, ended);
        tokio::spawn(async move {
            while let Some(connection) = incoming.next().await {
                let mut connection = connection.unwrap();
                let known = connection.connect_info().peer_certs().is_some();
                tokio::spawn(async move {
                    connection.write_all(if known { b"1" } else { b"0" }).await.ok();
                    connection.shutdown().await.ok();
                });
            }
        });
        Self { authority, verifier, address, _end: end }
    }

    fn client(&self, identity: Option<&Probe>) -> Arc<ClientConfig> {
        self.client_of(identity, &rustls::version::TLS13)
    }

    fn client_of(
        &self,
        identity: Option<&Probe>,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(probe) => {
                let chain = probe.issued.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
                let key = PrivatePkcs8KeyDer::from(probe.key.serialize_der());
                builder.with_client_auth_cert(chain, key.into()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    /// What the listener says, or why it says nothing. With TLS 1.3 a refusal comes with the first read.
    async fn call(&self, client: &Arc<ClientConfig>) -> Result<(u8, HandshakeKind), String> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(CONTROLLER_NAME).unwrap();
        let connecting = TlsConnector::from(client.clone()).connect(name, stream);
        let mut stream = connecting.await.map_err(|e| e.to_string())?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.map_err(|e| e.to_string())?;
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        Ok((*said.first().ok_or("closed without a word")?, kind))
    }
}

struct Probe {
    key: KeyPair,
    issued: Issued,
}

fn probe(authority: &Authority, now: Timestamp) -> Probe {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    Probe { issued: authority.issue(csr.der(), Uuid::new_v4(), now).unwrap(), key }
}

#[tokio::test]
async fn a_probe_of_this_fleet_is_let_in_and_so_is_one_that_wants_to_enrol() {
    let listener = Listener::start().await;
    let known = probe(&listener.authority, Timestamp::now());
    assert_eq!(listener.call(&listener.client(Some(&known))).await.unwrap().0, b'1');
    assert_eq!(listener.call(&listener.client(None)).await.unwrap().0, b'0');
}

#[tokio::test]
async fn a_revoked_probe_is_refused_also_when_it_was_connected_before() {
    let listener = Listener::start().await;
    let revoked = probe(&listener.authority, Timestamp::now());
    let other = probe(&listener.authority, Timestamp::now());
    // The same configuration throughout: it would keep a ticket if it were given one.
    let client = listener.client(Some(&revoked));
    for _ in 0..2 {
        assert_eq!(listener.call(&client).await.unwrap(), (b'1', HandshakeKind::Full));
    }
    listener.verifier.revoke(vec![revoked.issued.serial.clone()]);
    let refused = listener.call(&client).await.unwrap_err();
    assert!(refused.contains("CertificateRevoked"), "{refused}");
    assert_eq!(listener.call(&listener.client(Some(&other))).await.unwrap().0, b'1');
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let listener = Listener::start().await;
    let old = probe(&listener.authority, Timestamp::now() - SignedDuration::from_hours(7 * 24 + 1));
    let refused = listener.call(&listener.client(Some(&old))).await.unwrap_err();
    assert!(refused.contains("CertificateExpired"), "{refused}");
}

#[tokio::test]
async fn another_controllers_probes_are_let_in_from_when_it_is_trusted() {
    let listener = Listener::start().await;
    let second = authority();
    let client = listener.client(Some(&probe(&second, Timestamp::now())));
    let refused = listener.call(&client).await.unwrap_err();
    assert!(refused.contains("UnknownCA"), "{refused}");
    let both = [listener.authority.certificate().to_vec(), second.certificate().to_vec()];
    listener.verifier.trust(&both).unwrap();
    assert_eq!(listener.call(&client).await.unwrap().0, b'1');
}

#[tokio::test]
async fn a_controllers_own_server_certificate_is_no_client_certificate() {
    let listener = Listener::start().await;
    let (chain, server_key) = listener.authority.issue_server(Timestamp::now()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(listener.authority.certificate().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, server_key)
        .unwrap();
    assert!(listener.call(&Arc::new(config)).await.is_err());
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let listener = Listener::start().await;
    let old = listener.client_of(None, &rustls::version::TLS12);
    let refused = listener.call(&old).await.unwrap_err();
    assert!(refused.contains("ProtocolVersion"), "{refused}");
}

#[tokio::test]
async fn a_client_that_says_nothing_holds_up_nobody() {
    let listener = Listener::start().await;
    let _silent = TcpStream::connect(listener.address).await.unwrap();
    let client = listener.client(None);
    let call = tokio::time::timeout(Duration::from_secs(5), listener.call(&client));
    assert_eq!(call.await.unwrap().unwrap().0, b'0');
}

#[tokio::test]
async fn many_that_begin_a_handshake_and_say_nothing_keep_nobody_out() {
    let listener = Listener::start().await;
    let mut silent = Vec::new();
    for _ in 0..560 {
        silent.push(TcpStream::connect(listener.address).await.unwrap());
    }
    let client = listener.client(None);
    let answer = tokio::time::timeout(Duration::from_secs(7), listener.call(&client)).await;
    assert_eq!(answer.expect("an answer before the silent ones time out").unwrap().0, b'0');
}

#[test]
fn a_probe_gets_the_rights_of_a_probe_whatever_it_asks_for() {
    let authority = authority();
    let (id, now) = (Uuid::new_v4(), Timestamp::now());
    let mut wish = CertificateParams::new(vec![CONTROLLER_NAME.to_owned()]).unwrap();
    wish.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    wish.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let csr = wish.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let issued = authority.issue(csr.der(), id, now).unwrap();

    let (_, certificate) = x509_parser::parse_x509_certificate(&issued.chain[0]).unwrap();
    assert!(!certificate.is_ca());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);
    let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
    let expected = format!("spiffe://sekisho/probe/{id}");
    assert!(matches!(names.as_slice(), [x509_parser::prelude::GeneralName::URI(uri)] if *uri == expected));
    assert_eq!(certificate.raw_serial(), issued.serial);
    assert_eq!(issued.serial.len(), 16);
    assert_eq!(certificate.validity().not_before.timestamp(), issued.not_before.as_second());
    assert_eq!(certificate.validity().not_after.timestamp(), issued.not_after.as_second());
    assert_eq!(issued.not_before.as_second(), now.as_second() - 300);
    assert_eq!(issued.not_after.as_second(), now.as_second() + 7 * 86_400);
    assert_eq!(issued.chain[1], authority.certificate().as_ref());
}

#[test]
fn requests_that_prove_nothing_are_refused() {
    let authority = authority();
    let mut tampered =
        CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
    *tampered.last_mut().unwrap() ^= 1;
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let p384 = CertificateParams::default().serialize_request(&p384).unwrap().der().to_vec();
    for csr in [vec![], b"hello".to_vec(), vec![0x30; 10_000], tampered, p384] {
        let refused = authority.issue(&csr, Uuid::new_v4(), Timestamp::now());
        assert!(matches!(refused, Err(IssueError::Request(_))), "{refused:?}");
    }
}

#[test]
fn the_server_certificate_is_found_by_pin_and_issued_anew_each_day() {
    let authority = authority();
    let now = Timestamp::now();
    let (chain, _) = authority.issue_server(now).unwrap();
    assert_eq!(pin(&chain[1]), pin(authority.certificate()));
    let server = ServerIdentity::new(&authority, now).unwrap();
    assert!(!server.renew_if_due(&authority, now + SignedDuration::from_hours(23)).unwrap());
    assert!(server.renew_if_due(&authority, now + SignedDuration::from_hours(25)).unwrap());
    assert!(!server.renew_if_due(&authority, now + SignedDuration::from_hours(26)).unwrap());
    assert!(
        server.renew_if_due(&authority, now - SignedDuration::from_hours(9_000)).unwrap(),
        "the clock was set back"
    );
    assert!(!server.renew_if_due(&authority, now - SignedDuration::from_hours(8_999)).unwrap());
}

#[test]
fn an_identity_is_made_once_and_never_replaced() {
    let place = tempfile::tempdir().unwrap();
    let data = DataDir::new(&place.path().join("data")).unwrap();
    data.prepare().unwrap();
    let first = Identity::load_or_create(&data).unwrap();
    let again = Identity::load_or_create(&data).unwrap();
    assert_eq!(first.id, again.id);
    assert_eq!(first.authority.certificate(), again.authority.certificate());
    std::fs::remove_file(data.identity().join("ca.pem")).unwrap();
    let refused = Identity::load_or_create(&data).unwrap_err().to_string();
    assert!(refused.contains("ca.pem") && refused.contains("backup"), "{refused}");
}
