//! The controllers of one database trust each other's certificate authorities.

use super::{Result, Services};

impl Services {
    /// Makes this controller known: its CA certificate (DER) becomes part of what every probe and controller trusts.
    ///
    /// # Errors
    /// When the database fails, or another controller has the same certificate.
    pub async fn register_controller(&self, _ca_der: &[u8], _host: &str) -> Result<()> {
        Err(super::unfinished())
    }

    /// Every controller's CA certificate, DER, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn trust(&self) -> Result<Vec<Vec<u8>>> {
        Err(super::unfinished())
    }

    /// Serial numbers of the certificates of revoked probes that have not expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoked_certificates(&self) -> Result<Vec<Vec<u8>>> {
        Err(super::unfinished())
    }
}
