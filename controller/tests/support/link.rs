//! A controller that listens, and a probe that speaks gRPC to it over TLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, KeyPair};
use sekisho::{
    data_dir::DataDir,
    identity::{self, Identity, ServerIdentity, Trust},
    service::{Services, Settings},
};
use sekisho_proto::{
    CONTROLLER_NAME, PROTOCOL,
    v1::{
        self, ControllerMessage, ProbeMessage, controller_message::Message as Out,
        enrolment_client::EnrolmentClient, fleet_client::FleetClient, probe_message::Message as In,
    },
};
use sqlx::PgPool;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use uuid::Uuid;

use crate::fleet::{Controller, operator};

/// Longest that a test waits for a message.
const PATIENCE: Duration = Duration::from_secs(20);

/// A controller with a listener for probes and everything behind it.
pub(crate) struct Listening {
    pub(crate) controller: Controller,
    address: SocketAddr,
    authority: Vec<u8>,
    _end: watch::Sender<bool>,
    _data: tempfile::TempDir,
}

impl Listening {
    pub(crate) async fn start(pool: PgPool, settings: Settings) -> Self {
        // It may be installed already, by another test of this program.
        drop(rustls::crypto::ring::default_provider().install_default());
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::new(directory.path()).unwrap();
        data.prepare().unwrap();
        let identity = Identity::load_or_create(&data).unwrap();
        let authority = Arc::new(identity.authority);
        let services = Services::new(pool.clone(), identity.id, authority.clone(), settings);
        services.register_controller(authority.certificate(), "test").await.unwrap();
        let trust = Trust::load(services.clone(), &authority).await.unwrap();
        let server = ServerIdentity::new(&authority, jiff::Timestamp::now()).unwrap();
        let tls = TlsAcceptor::from(Arc::new(server.config(trust.verifier()).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = watch::channel(false);
        tokio::spawn(trust.run(ended.clone()));
        tokio::spawn(sekisho::background::run(services.clone(), ended.clone()));
        let incoming = identity::incoming(listener, tls, ended.clone());
        let router = sekisho::grpc::router(services.clone(), ended);
        tokio::spawn(router.serve_with_incoming(incoming));
        crate::fleet::wait_for("the event listener", || async {
            let checks = services.health().await.checks;
            checks.iter().any(|check| check.name == "events" && check.ok).then_some(())
        })
        .await;
        let authority = authority.certificate().to_vec();
        Self { controller: Controller { services, pool }, address, authority, _end: end, _data: directory }
    }

    async fn channel(&self, identity: Option<&Credentials>) -> Channel {
        let mut tls = ClientTlsConfig::new()
            .domain_name(CONTROLLER_NAME)
            .ca_certificate(Certificate::from_pem(pem(&self.authority)));
        if let Some(Credentials { chain, key }) = identity {
            tls = tls.identity(tonic::transport::Identity::from_pem(chain, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        // Little room for what is not read, so that it is soon used up.
        let endpoint = endpoint.initial_stream_window_size(1 << 12);
        endpoint.tls_config(tls).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn fleet(&self, identity: Option<&Credentials>) -> FleetClient<Channel> {
        FleetClient::new(self.channel(identity).await)
    }

    /// Enrols a probe over the wire.
    pub(crate) async fn enrol(&self, vantage: &str) -> (Uuid, Credentials) {
        let hour = Duration::from_secs(3_600);
        let token =
            self.controller.services.create_enrolment_token(&operator(), vantage, hour).await.unwrap();
        let (csr, key) = request();
        let request = v1::EnrolRequest {
            secret: token.secret,
            csr,
            host: "srv20".to_owned(),
            version: "0.1.0".to_owned(),
        };
        let mut client = EnrolmentClient::new(self.channel(None).await);
        let enrolled = client.enrol(request).await.unwrap().into_inner();
        assert_eq!(enrolled.vantage, vantage);
        let chain = enrolled.certificate.unwrap().chain;
        (enrolled.probe_id.parse().unwrap(), Credentials::new(&chain, key))
    }

    /// Asks for a certificate.
    pub(crate) async fn enrolment(&self, request: v1::EnrolRequest) -> Result<v1::EnrolResponse, Status> {
        let mut client = EnrolmentClient::new(self.channel(None).await);
        client.enrol(request).await.map(tonic::Response::into_inner)
    }

    /// Opens a session with any greeting.
    pub(crate) async fn greet(&self, identity: &Credentials, hello: v1::Hello) -> Result<Link, Status> {
        open(&mut self.fleet(Some(identity)).await, hello).await
    }

    /// Opens a session.
    pub(crate) async fn session(&self, identity: &Credentials, jobs: Vec<Uuid>) -> Link {
        let hello = v1::Hello {
            protocol: PROTOCOL,
            version: "0.1.0".to_owned(),
            host: "srv20".to_owned(),
            services: vec!["smb".to_owned()],
            icmp: "none".to_owned(),
            keeps_shares: true,
            keeps_plan_shares: true,
            jobs: jobs.into_iter().map(|job| job.into_bytes().to_vec()).collect(),
            ..v1::Hello::default()
        };
        let mut link = self.greet(identity, hello).await.unwrap();
        let Out::Welcome(welcome) = link.next().await else { panic!("a session begins with Welcome") };
        assert_eq!(welcome.protocol, PROTOCOL);
        assert!(!welcome.trust.is_empty());
        link
    }
}

/// Opens a session on a connection.
pub(crate) async fn open(client: &mut FleetClient<Channel>, hello: v1::Hello) -> Result<Link, Status> {
    let (sender, messages) = mpsc::channel(64);
    sender.send(ProbeMessage { message: Some(In::Hello(hello)) }).await.unwrap();
    let incoming = client.session(ReceiverStream::new(messages)).await?.into_inner();
    Ok(Link { sender, incoming })
}

/// A probe's certificate and key, PEM.
pub(crate) struct Credentials {
    chain: String,
    key: String,
}

impl Credentials {
    pub(crate) fn new(chain: &[Vec<u8>], key: String) -> Self {
        Self { chain: chain.iter().map(|certificate| pem(certificate)).collect(), key }
    }
}

/// A signing request, and its key as PEM.
pub(crate) fn request() -> (Vec<u8>, String) {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::new(Vec::new()).unwrap().serialize_request(&key).unwrap();
    (request.der().to_vec(), key.serialize_pem())
}

fn pem(certificate: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(certificate))
}

/// The probe's end of a session.
#[derive(Debug)]
pub(crate) struct Link {
    sender: mpsc::Sender<ProbeMessage>,
    incoming: Streaming<ControllerMessage>,
}

impl Link {
    pub(crate) async fn send(&self, message: In) {
        self.sender.send(ProbeMessage { message: Some(message) }).await.unwrap();
    }

    /// Says whether the session still takes messages.
    pub(crate) async fn try_send(&self, message: In) -> bool {
        self.sender.send(ProbeMessage { message: Some(message) }).await.is_ok()
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Out {
        let message = timeout(PATIENCE, self.incoming.message()).await.expect("a message in time");
        message.unwrap().expect("the session is open").message.unwrap()
    }

    /// The next job; trust lists are passed by.
    pub(crate) async fn job(&mut self) -> v1::Job {
        loop {
            let message = self.next().await;
            if let Out::Job(job) = message {
                return job;
            }
            assert!(matches!(message, Out::Trust(_)), "{message:?} instead of a job");
        }
    }

    /// Waits until the session is closed, with or without a reason.
    pub(crate) async fn closed(&mut self) {
        while let Ok(Some(_)) = timeout(PATIENCE, self.incoming.message()).await.expect("the end in time") {}
    }

    /// The status with which the session ends.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            match timeout(PATIENCE, self.incoming.message()).await.expect("the end in time") {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the session ended without a reason"),
                Err(status) => return status,
            }
        }
    }
}
