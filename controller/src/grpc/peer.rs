//! Which probe a client certificate names.

use uuid::Uuid;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

/// Begins the URI name of a probe's certificate.
const PREFIX: &str = "spiffe://sekisho/probe/";

/// A certificate that does not name a probe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// There is no client certificate.
    #[error("a client certificate is needed: enrol the probe first")]
    Missing,
    /// It cannot be read, or does not have exactly one URI name of a probe.
    #[error("the client certificate does not name a probe")]
    Nameless,
}

/// The probe that a certificate (DER) names. The TLS side has verified the certificate.
///
/// # Errors
/// [`PeerError::Nameless`] when it does not name exactly one.
pub fn probe_of(certificate: &[u8]) -> Result<Uuid, PeerError> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| PeerError::Nameless)?;
    let names = certificate.subject_alternative_name().map_err(|_| PeerError::Nameless)?;
    let names = names.ok_or(PeerError::Nameless)?;
    let mut probes = names.value.general_names.iter().filter_map(|name| {
        let GeneralName::URI(uri) = name else { return None };
        uri.strip_prefix(PREFIX)
    });
    match (probes.next(), probes.next()) {
        (Some(probe), None) => probe.parse().map_err(|_| PeerError::Nameless),
        (_, Some(_)) | (None, _) => Err(PeerError::Nameless),
    }
}

/// The probe that made a request.
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<Uuid, PeerError> {
    let certificates = request.peer_certs().ok_or(PeerError::Missing)?;
    let certificate = certificates.first().ok_or(PeerError::Missing)?;
    probe_of(certificate)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(uris: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_uri_name_tells_the_probe() {
        let id = Uuid::from_u128(7);
        let uri = format!("{PREFIX}{id}");
        assert_eq!(probe_of(&certificate(&["https://other.example", &uri])), Ok(id));
    }

    #[test]
    fn anything_else_is_refused() {
        let one = format!("{PREFIX}{}", Uuid::from_u128(1));
        let two = format!("{PREFIX}{}", Uuid::from_u128(2));
        for uris in
            [vec![], vec!["spiffe://sekisho/probe/x"], vec!["spiffe://other/probe/1"], vec![&one, &two]]
        {
            assert_eq!(probe_of(&certificate(&uris)), Err(PeerError::Nameless), "{uris:?}");
        }
        assert_eq!(probe_of(b"not a certificate"), Err(PeerError::Nameless));
    }
}
