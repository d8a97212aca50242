//! Which client certificates the fleet listener lets in.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::IdentityError;

/// Accepts certificates of the authorities trusted at this moment, but not the revoked ones. A client without a
/// certificate is let in too: enrolment needs that, and every other call asks for one.
#[derive(Debug)]
pub struct ClientVerifier {
    trusted: RwLock<Arc<dyn ClientCertVerifier>>,
    revoked: RwLock<HashSet<Vec<u8>>>,
}

impl ClientVerifier {
    /// Begins with those authorities, DER, and revoked serial numbers.
    ///
    /// # Errors
    /// When none of the authorities can be read.
    pub fn new(authorities: &[Vec<u8>], revoked: Vec<Vec<u8>>) -> Result<Arc<Self>, IdentityError> {
        let trusted = RwLock::new(webpki(authorities)?);
        Ok(Arc::new(Self { trusted, revoked: RwLock::new(revoked.into_iter().collect()) }))
    }

    /// From here on, these authorities are trusted and no others.
    ///
    /// # Errors
    /// When none of them can be read; the present ones stay.
    pub fn trust(&self, authorities: &[Vec<u8>]) -> Result<(), IdentityError> {
        let next = webpki(authorities)?;
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// From here on, these serial numbers are refused and no others.
    pub fn revoke(&self, serials: Vec<Vec<u8>>) {
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = serials.into_iter().collect();
    }

    fn current(&self) -> Arc<dyn ClientCertVerifier> {
        self.trusted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn webpki(authorities: &[Vec<u8>]) -> Result<Arc<dyn ClientCertVerifier>, IdentityError> {
    let mut roots = RootCertStore::empty();
    for der in authorities {
        if let Err(error) = roots.add(CertificateDer::from(der.as_slice()).into_owned()) {
            tracing::error!(%error, pin = super::pin(der), "a registered controller's certificate cannot be used");
        }
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .allow_unauthenticated()
        .build()
        .map_err(|e| IdentityError::Tls(Box::new(e)))?;
    Ok(verifier)
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Probes have one certificate, so no hint helps them to choose; and the set changes while we run.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.current().verify_client_cert(end_entity, intermediates, now)?;
        let (_, certificate) = x509_parser::parse_x509_certificate(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let serial = certificate.raw_serial();
        if self.revoked.read().unwrap_or_else(PoisonError::into_inner).contains(serial) {
            tracing::warn!(
                serial = certificate.raw_serial_as_string(),
                subject = %certificate.subject(),
                "refused a connection of a revoked probe"
            );
            return Err(Error::InvalidCertificate(CertificateError::Revoked));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current().verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current().verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().supported_verify_schemes()
    }
}
