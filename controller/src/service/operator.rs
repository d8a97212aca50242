//! Operators: who may use the API.

use super::{Error, Result, Services};

/// Who asks. The name goes to the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Name of the operator's token.
    pub name: String,
}

impl Services {
    /// The operator whose bearer token this is.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when no operator has this token.
    pub async fn authenticate(&self, _bearer: &str) -> Result<Actor> {
        Err(Error::Unauthenticated)
    }

    /// Lets whoever holds `token` act as `name`. Replaces an earlier token of that name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn register_operator_token(&self, _name: &str, _token: &str) -> Result<()> {
        Err(super::unfinished())
    }
}
