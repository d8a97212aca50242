//! How a probe becomes part of the fleet.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Actor, Result, Services};

/// A single-use enrolment token. Shown once; only its hash is kept.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentToken {
    /// 32 random bytes, base64url without padding.
    pub secret: String,
    /// Name of the vantage that the probe will stand for.
    pub vantage: String,
    /// Until when it can be used.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrolmentToken")
            .field("vantage", &self.vantage)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What a probe hands in with its token.
pub struct EnrolRequest {
    /// The secret part of the token.
    pub secret: String,
    /// PKCS#10 certificate signing request, DER.
    pub csr: Vec<u8>,
    /// Host name of the probe's machine.
    pub host: String,
    /// Version of the probe.
    pub version: String,
}

/// A probe that is now part of the fleet.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The probe.
    pub probe: Uuid,
    /// Name of its vantage.
    pub vantage: String,
    /// Its certificate followed by the issuer, DER.
    pub chain: Vec<Vec<u8>>,
    /// Every controller's CA certificate, DER.
    pub trust: Vec<Vec<u8>>,
}

/// A new certificate for a probe.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// The certificate followed by the issuer, DER.
    pub chain: Vec<Vec<u8>>,
    /// Every controller's CA certificate, DER.
    pub trust: Vec<Vec<u8>>,
}

impl Services {
    /// A token with which one probe can enrol for a vantage.
    ///
    /// # Errors
    /// When the vantage is not in the inventory or the time is out of bounds.
    pub async fn create_enrolment_token(
        &self,
        _actor: &Actor,
        _vantage: &str,
        _ttl: Duration,
    ) -> Result<EnrolmentToken> {
        Err(super::unfinished())
    }

    /// Uses a token up and gives the probe its first certificate.
    ///
    /// # Errors
    /// When the token is unknown, used or expired, or the signing request is not usable.
    pub async fn enrol(&self, _request: EnrolRequest) -> Result<Enrolled> {
        Err(super::unfinished())
    }

    /// A new certificate for a probe that has one.
    ///
    /// # Errors
    /// When the probe is not known or revoked, or the signing request is not usable.
    pub async fn renew(&self, _probe: Uuid, _csr: &[u8]) -> Result<Renewed> {
        Err(super::unfinished())
    }
}
