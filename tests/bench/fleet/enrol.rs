//! Probes with certificates, enrolled as by tokens.

use std::{path::Path, sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sekisho::{
    data_dir::DataDir,
    identity::Identity,
    service::{Actor, EnrolRequest, Services, Settings},
};
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

/// A probe that has its certificate.
pub(crate) struct Enrolled {
    pub(crate) number: usize,
    pub(crate) tls: Arc<ClientConfig>,
}

/// Enrols a probe at each vantage by the authority of the controller with this data directory, eight at a time.
pub(crate) async fn enrol(data: &Path, url: &str, probes: usize) -> Vec<Enrolled> {
    let identity = Identity::load_or_create(&DataDir::new(data).unwrap()).unwrap();
    let ca = CertificateDer::from(identity.authority.certificate().to_vec());
    let mut roots = RootCertStore::empty();
    roots.add(ca).unwrap();
    let roots = Arc::new(roots);
    // Nothing of this is measured.
    let pool = PgPoolOptions::new()
        .max_connections(8)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::Executor::execute(connection, "SET synchronous_commit = off").await.map(drop)
            })
        })
        .connect(url)
        .await
        .unwrap();
    let services = Services::new(pool, identity.id, Arc::new(identity.authority), Settings::default());
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let (services, roots) = (services.clone(), roots.clone());
        workers.spawn(async move {
            let mut enrolled = Vec::new();
            for number in (worker..probes).step_by(8) {
                enrolled.push(one(&services, &roots, number).await);
            }
            enrolled
        });
    }
    workers.join_all().await.into_iter().flatten().collect()
}

async fn one(services: &Services, roots: &Arc<RootCertStore>, number: usize) -> Enrolled {
    let actor = Actor { name: "bench".to_owned(), trace: None };
    let vantage = format!("v{number}");
    let token = services.create_enrolment_token(&actor, &vantage, Duration::from_secs(600)).await.unwrap();
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    let (host, version) = (format!("host-{number}"), "bench".to_owned());
    let request = EnrolRequest { secret: token.secret, csr, host, version };
    let enrolled = services.enrol(request).await.unwrap();
    let chain = enrolled.chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    Enrolled { number, tls: Arc::new(tls) }
}
