//! The controllers of one database trust each other's certificate authorities.

use serde_json::json;

use super::{Error, Event, Result, Services, commit, operator::SYSTEM};
use crate::store;

impl Services {
    /// Makes this controller known: its CA certificate (DER) becomes part of what every probe and controller trusts.
    ///
    /// # Errors
    /// When the database fails, or another controller has the same certificate.
    pub async fn register_controller(&self, ca_der: &[u8], host: &str) -> Result<()> {
        let id = self.controller();
        let mut transaction = self.begin().await?;
        let new = store::controller::register(&mut transaction, id, ca_der, host).await.map_err(|error| {
            match error.constraint() {
                Some("controller_certificate_key") => Error::Conflict(
                    "another controller of this database has the same certificate: its data directory was copied"
                        .to_owned(),
                ),
                Some(_) | None => error.into(),
            }
        })?;
        if new {
            let detail = json!({ "host": host });
            store::audit::record(&mut transaction, SYSTEM, "register", &format!("controller {id}"), detail)
                .await?;
            store::event::send(&mut transaction, Event::TrustChanged).await?;
        }
        commit(transaction).await
    }

    /// Every controller's CA certificate, DER, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn trust(&self) -> Result<Vec<Vec<u8>>> {
        let mut connection = self.connection().await?;
        Ok(store::controller::certificates(&mut connection).await?)
    }

    /// Serial numbers of the certificates of revoked probes that have not expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoked_certificates(&self) -> Result<Vec<Vec<u8>>> {
        let mut connection = self.connection().await?;
        Ok(store::enrolment::revoked_serials(&mut connection).await?)
    }
}
