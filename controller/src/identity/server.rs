//! The server side of TLS on the fleet listener.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::{Timestamp, ToSpan};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring::default_provider},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, danger::ClientCertVerifier},
    sign::CertifiedKey,
};

use super::{Authority, IdentityError};

/// How old a server certificate gets before it is issued anew, hours.
const RENEW_HOURS: i64 = 24;

/// The server certificate in use. Connections that are open keep the one they began with.
#[derive(Debug)]
pub struct ServerIdentity {
    current: RwLock<(Arc<CertifiedKey>, Timestamp)>,
    provider: Arc<CryptoProvider>,
}

impl ServerIdentity {
    /// Begins with a certificate issued at `now`.
    ///
    /// # Errors
    /// When the cryptography refuses.
    pub fn new(authority: &Authority, now: Timestamp) -> Result<Arc<Self>, IdentityError> {
        let provider = Arc::new(default_provider());
        let first = issue(authority, &provider, now)?;
        Ok(Arc::new(Self { current: RwLock::new((first, now)), provider }))
    }

    /// Issues a new certificate when the present one is a day old, or was issued in the future. Call it often.
    ///
    /// # Errors
    /// When the cryptography refuses; the present certificate stays.
    pub fn renew_if_due(&self, authority: &Authority, now: Timestamp) -> Result<bool, IdentityError> {
        let issued = self.current.read().unwrap_or_else(PoisonError::into_inner).1;
        // A clock that was set back has issued a certificate that does not yet hold.
        if (issued..issued + RENEW_HOURS.hours()).contains(&now) {
            return Ok(false);
        }
        let next = issue(authority, &self.provider, now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (next, now);
        Ok(true)
    }

    /// TLS 1.3 only, HTTP/2 only, and nothing is resumed: a resumed connection would not be asked for its certificate
    /// again, and so a revoked probe would come back in.
    ///
    /// # Errors
    /// When the provider does not offer TLS 1.3.
    pub fn config(
        self: &Arc<Self>,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Result<ServerConfig, IdentityError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| IdentityError::Tls(Box::new(e)))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.clone());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}

fn issue(
    authority: &Authority,
    provider: &CryptoProvider,
    now: Timestamp,
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let (chain, key) = authority.issue_server(now)?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|e| IdentityError::Tls(Box::new(e)))?;
    Ok(Arc::new(key))
}
