//! How a probe becomes part of the fleet.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Actor, Error, IssueError, Issued, Result, Services, commit, secret, sweep::unknown};
use crate::store::{self, enrolment::Token};

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

/// Shortest and longest life of a token.
const TTL: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 60 * 60);

/// Most certificates that a probe gets in an hour while they are good. It needs two of them a day, or of whatever time
/// they are valid for.
const CERTIFICATES: i64 = 16;

impl Services {
    /// A token with which one probe can enrol for a vantage.
    ///
    /// # Errors
    /// When the vantage is not in the inventory or the time is out of bounds.
    pub async fn create_enrolment_token(
        &self,
        actor: &Actor,
        vantage: &str,
        ttl: Duration,
    ) -> Result<EnrolmentToken> {
        if !TTL.contains(&ttl) {
            return Err(Error::Invalid("a token lives from 1 minute to 7 days".to_owned()));
        }
        let secret = secret::generate()?;
        let mut transaction = self.begin().await?;
        let Some(id) = store::vantage::named(&mut transaction, vantage).await? else {
            let vantages = store::vantage::all(&mut transaction).await?;
            return Err(Error::NotFound(unknown(
                "vantage",
                vantage,
                vantages.iter().map(|v| v.name.as_str()),
            )));
        };
        let expires_at =
            store::enrolment::create_token(&mut transaction, &secret::hash(&secret), id, ttl).await?;
        let detail = json!({ "expires_at": expires_at });
        let object = format!("vantage {vantage}");
        store::audit::record(&mut transaction, &actor.name, "token", &object, detail).await?;
        commit(transaction).await?;
        Ok(EnrolmentToken { secret, vantage: vantage.to_owned(), expires_at })
    }

    /// Uses a token up and gives the probe its first certificate.
    ///
    /// # Errors
    /// When the token is unknown, used or expired, or the signing request is not usable.
    pub async fn enrol(&self, request: EnrolRequest) -> Result<Enrolled> {
        let host = checked_text("host", &request.host)?;
        let version = checked_text("version", &request.version)?;
        let hash = secret::hash(&request.secret);
        let probe = Uuid::new_v4();
        let mut transaction = self.begin().await?;
        let token = store::enrolment::lock_token(&mut transaction, &hash).await?;
        let token = usable(token)?;
        let issued = self.issue(&request.csr, probe)?;
        store::probe::create(&mut transaction, probe, token.vantage_id, host, version).await?;
        store::enrolment::use_token(&mut transaction, &hash, probe).await?;
        record(&mut transaction, probe, &issued).await?;
        let detail = json!({ "vantage": token.vantage, "host": host });
        let object = format!("probe {probe}");
        store::audit::record(&mut transaction, "enrolment token", "enrol", &object, detail).await?;
        let trust = store::controller::certificates(&mut transaction).await?;
        commit(transaction).await?;
        Ok(Enrolled { probe, vantage: token.vantage, chain: issued.chain, trust })
    }

    /// A new certificate for a probe that has one.
    ///
    /// # Errors
    /// When the probe is not known or revoked, has renewed too often, or the signing request is not usable.
    pub async fn renew(&self, probe: Uuid, csr: &[u8]) -> Result<Renewed> {
        let mut transaction = self.begin().await?;
        let revoked = store::probe::is_revoked(&mut transaction, probe).await?;
        admitted(probe, revoked)?;
        if store::enrolment::recent_certificates(&mut transaction, probe).await? >= CERTIFICATES {
            return Err(Error::Conflict(format!(
                "probe {probe} was given {CERTIFICATES} certificates within an hour; use the newest of them"
            )));
        }
        let issued = self.issue(csr, probe)?;
        record(&mut transaction, probe, &issued).await?;
        let trust = store::controller::certificates(&mut transaction).await?;
        commit(transaction).await?;
        Ok(Renewed { chain: issued.chain, trust })
    }

    fn issue(&self, csr: &[u8], probe: Uuid) -> Result<Issued> {
        self.inner.issuer.issue(csr, probe, Timestamp::now()).map_err(|error| match error {
            IssueError::Request(_) => Error::Invalid(error.to_string()),
            IssueError::Authority(source) => Error::Internal(source),
        })
    }
}

async fn record(connection: &mut PgConnection, probe: Uuid, issued: &Issued) -> Result<()> {
    let Issued { serial, not_before, not_after, .. } = issued;
    Ok(store::enrolment::record_certificate(connection, probe, serial, *not_before, *not_after).await?)
}

/// Refuses probes that are not known or shut out.
pub(super) fn admitted(probe: Uuid, revoked: Option<bool>) -> Result<()> {
    match revoked {
        Some(false) => Ok(()),
        Some(true) => {
            Err(Error::Forbidden(format!("probe {probe} is revoked; enrol it again with a new token")))
        }
        None => Err(Error::Forbidden(format!(
            "probe {probe} is not known to this controller; enrol it again with a new token"
        ))),
    }
}

fn usable(token: Option<Token>) -> Result<Token> {
    const AGAIN: &str = "make a new one with: sekisho probe token --vantage NAME";
    let refused = |why: &str| Err(Error::Forbidden(format!("the enrolment token {why}; {AGAIN}")));
    match token {
        None => refused("is not known here"),
        Some(token) if token.used => refused("was used before, and each works once"),
        Some(token) if token.expired => refused("has expired"),
        Some(token) if token.vantage_removed => {
            refused(&format!("is for vantage {}, which is no longer in the inventory", token.vantage))
        }
        Some(token) => Ok(token),
    }
}

/// A short text from a probe, fit for tables and logs.
pub(super) fn checked_text<'a>(field: &str, text: &'a str) -> Result<&'a str> {
    const MOST: usize = 255;
    if text.len() > MOST || text.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "{field} is a text of at most {MOST} bytes without control characters"
        )));
    }
    Ok(text)
}
