//! What the services need from the certificate authority.

use jiff::Timestamp;
use uuid::Uuid;

/// A client certificate for a probe.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate and its issuer, DER.
    pub chain: Vec<Vec<u8>>,
    /// Serial number, as in the certificate.
    pub serial: Vec<u8>,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The signing request is not usable; the text is meant for the one who sent it.
    #[error("the certificate signing request is not usable: {0}")]
    Request(String),
    /// The authority failed.
    #[error("cannot sign a certificate")]
    Authority(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Signs client certificates of probes. Only the public key of the request is taken over.
pub trait CertificateIssuer: Send + Sync {
    /// A certificate whose URI name is `spiffe://sekisho/probe/<uuid>`.
    ///
    /// # Errors
    /// When the request cannot be read or its key is not acceptable, and when signing fails.
    fn issue(&self, csr_der: &[u8], probe: Uuid, now: Timestamp) -> Result<Issued, IssueError>;

    /// A signature of a message by the key of the authority, ECDSA P-256 over SHA-256 in ASN.1. The caller says in the message
    /// what it is for.
    ///
    /// # Errors
    /// When signing fails.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError>;
}
