//! Tokens with which probes enrol.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use jiff::{Timestamp, fmt::serde::unsigned_duration::friendly::compact::required as friendly};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ErrorBody, Web, auth::Operator, error::ApiError};
use crate::identity::TokenText;

const TTL: Duration = Duration::from_secs(60 * 60);

/// For whom and how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentTokenRequest {
    /// Name of the vantage that the probe will stand for.
    pub vantage: String,
    /// How long the token can be used, such as `30m` or `1h`.
    #[serde(with = "friendly", default = "ttl")]
    #[schema(value_type = String, default = "1h")]
    pub ttl: Duration,
}

const fn ttl() -> Duration {
    TTL
}

/// A token as it is given to `sekisho-probe enroll`. Shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct PrintedToken {
    /// `sks1.<secret>.<pin>[.<pin>…]`: the secret, and which controllers may be given it.
    pub token: String,
    /// Name of the vantage.
    pub vantage: String,
    /// Until when it can be used.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Makes a single-use token with which one probe can enrol.
#[utoipa::path(
    post,
    path = "/api/v1/enrolment-tokens",
    request_body = EnrolmentTokenRequest,
    responses(
        (status = CREATED, body = PrintedToken),
        (status = NOT_FOUND, body = ErrorBody, description = "There is no such vantage."),
    )
)]
pub(super) async fn create(
    Operator(actor): Operator,
    State(web): State<Web>,
    Json(request): Json<EnrolmentTokenRequest>,
) -> Result<(StatusCode, Json<PrintedToken>), ApiError> {
    let trusted = web.services.trust().await?;
    let made = web.services.create_enrolment_token(&actor, &request.vantage, request.ttl).await?;
    let token = TokenText::new(&made.secret, &web.authority, &trusted).secret();
    let printed = PrintedToken { token, vantage: made.vantage, expires_at: made.expires_at };
    Ok((StatusCode::CREATED, Json(printed)))
}
