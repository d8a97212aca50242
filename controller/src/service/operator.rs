//! Operators: who may use the API.

use sekisho_model::TraceParent;
use serde_json::json;

use super::{Error, Result, Services, commit, secret};
use crate::store;

/// Who asks. The name goes to the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Name of the operator's token.
    pub name: String,
    /// The request, where it is traced.
    pub trace: Option<TraceParent>,
}

/// Name under which a controller acts by itself.
pub(super) const SYSTEM: &str = "controller";

/// Fewest characters of an operator's token.
const SHORTEST: usize = 32;

impl Services {
    /// The operator whose bearer token this is.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when no operator has this token.
    pub async fn authenticate(&self, bearer: &str) -> Result<Actor> {
        // What cannot be a token costs strangers no question to the database.
        if bearer.len() < SHORTEST || !bearer.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::Unauthenticated);
        }
        let mut connection = self.connection().await?;
        let name = store::operator::find(&mut connection, &secret::hash(bearer)).await?;
        name.map(|name| Actor { name, trace: None }).ok_or(Error::Unauthenticated)
    }

    /// Lets whoever holds `token` act as `name`. Replaces an earlier token of that name.
    ///
    /// # Errors
    /// When the token is too short to be a secret, and when the database fails.
    pub async fn register_operator_token(&self, name: &str, token: &str) -> Result<()> {
        if token.len() < SHORTEST {
            return Err(Error::Invalid("an operator's token has at least 32 characters".to_owned()));
        }
        let mut transaction = self.begin().await?;
        if store::operator::set(&mut transaction, name, &secret::hash(token)).await? {
            store::audit::record(&mut transaction, SYSTEM, "operator-token", name, json!({})).await?;
        }
        commit(transaction).await
    }
}
