//! Who asks.

use axum::{
    extract::FromRequestParts,
    http::{header::AUTHORIZATION, request::Parts},
};

use super::{Web, error::ApiError};
use crate::service::{Actor, Error};

/// The operator whose token the request carries. A handler that takes it cannot be reached without one.
pub(super) struct Operator(pub(super) Actor);

impl FromRequestParts<Web> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Self::Rejection> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) | None => return Err(Error::Unauthenticated.into()),
        };
        let trace = parts.extensions.get().copied();
        let actor = web.services.authenticate(token).await?;
        Ok(Self(Actor { trace, ..actor }))
    }
}
