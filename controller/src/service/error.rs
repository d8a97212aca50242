//! How a service fails.

/// Why a service did not do what it was asked. Only the texts of the first four are meant for clients.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be right, whatever the state is. Says what is wrong and what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// Something that the request names is not there.
    #[error("{0}")]
    NotFound(String),
    /// The request contradicts the present state.
    #[error("{0}")]
    Conflict(String),
    /// The caller is known and may not: a revoked probe, a used token.
    #[error("{0}")]
    Forbidden(String),
    /// The caller is not known.
    #[error("not signed in: the token is missing or not valid")]
    Unauthenticated,
    /// The database cannot be reached or did not answer. Trying again later may help.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fault of the controller.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a service returns.
pub type Result<T> = std::result::Result<T, Error>;

impl From<crate::store::Error> for Error {
    fn from(error: crate::store::Error) -> Self {
        if error.is_outage() { Self::Unavailable(Box::new(error)) } else { Self::Internal(Box::new(error)) }
    }
}
