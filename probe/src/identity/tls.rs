//! TLS 1.3 to a controller: by the pins of a token for enrolment, by the stored CA certificates afterwards.

use std::sync::Arc;

use anyhow::{Context, bail};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use super::Identity;

/// Time to reach a controller.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(10);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    config
}

/// Accepts only a controller whose CA certificate a token pins.
pub(crate) fn pinned(pins: &[[u8; 32]]) -> anyhow::Result<ClientConfig> {
    let verifier = Arc::new(Pinned { pins: pins.to_vec(), provider: provider() });
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(finish(config))
}

/// Accepts only controllers that the probe trusts, and shows its own certificate.
pub(crate) fn trusting(identity: &Identity) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in &identity.trust {
        roots.add(certificate.clone()).context("a stored CA certificate is damaged")?;
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
        .context("key and certificate of this probe do not fit; enrol it again")?;
    Ok(finish(config))
}

/// Opens a channel to `https://HOST:PORT`.
pub(crate) async fn connect(controller: &str, config: ClientConfig) -> anyhow::Result<Channel> {
    let uri: Uri = controller.parse().with_context(|| format!("\"{controller}\" is not a URL"))?;
    let (Some("https"), Some(host), Some(port)) = (uri.scheme_str(), uri.host(), uri.port_u16()) else {
        bail!("\"{controller}\" is not https://HOST:PORT");
    };
    let address = format!("{host}:{port}");
    let config = Arc::new(config);
    let connector = tower::service_fn(move |_: Uri| {
        let (address, config) = (address.clone(), config.clone());
        async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(sekisho_proto::CONTROLLER_NAME).map_err(std::io::Error::other)?;
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    // The connector speaks TLS itself; the scheme here only keeps the channel from doing so again.
    let endpoint = Endpoint::from_static("http://controller.sekisho.internal").connect_timeout(CONNECT);
    let channel = tokio::time::timeout(CONNECT, endpoint.connect_with_connector(connector)).await;
    channel
        .with_context(|| format!("{controller} did not answer within {} s", CONNECT.as_secs()))?
        .map_err(|error| anyhow::anyhow!("cannot connect to {controller}: {}", innermost(&error)))
}

/// The cause at the end of the chain: the transport's own words say nothing.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[derive(Debug)]
struct Pinned {
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_pinned = |certificate: &&CertificateDer<'_>| {
            let digest = ::ring::digest::digest(&::ring::digest::SHA256, certificate);
            self.pins.iter().any(|pin| pin.as_slice() == digest.as_ref())
        };
        let Some(authority) = intermediates.iter().find(is_pinned) else {
            return Err(Error::General(
                "this is not the controller that the token was made by (its CA certificate is not pinned)"
                    .to_owned(),
            ));
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
