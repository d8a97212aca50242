//! Service errors as gRPC statuses.

use std::error::Error as _;

use tonic::Status;

use crate::service::Error;

/// What a probe is told. Faults of the controller are logged here and go out as a fixed text.
pub(super) fn status(error: &Error) -> Status {
    match error {
        Error::Invalid(text) => Status::invalid_argument(text),
        Error::NotFound(text) => Status::not_found(text),
        Error::Conflict(text) => Status::aborted(text),
        Error::Forbidden(text) => Status::permission_denied(text),
        Error::Unauthenticated => Status::unauthenticated(error.to_string()),
        Error::Unavailable(_) => {
            tracing::debug!(error = error.source(), "a probe is sent away until the database is back");
            Status::unavailable(error.to_string())
        }
        Error::Internal(_) => {
            tracing::error!(error = error.source(), "a probe's request failed");
            Status::internal(error.to_string())
        }
    }
}
