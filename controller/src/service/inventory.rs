//! The inventory: what the network looks like, declared in a file.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Actor, Result, Services};

/// What an inventory file changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InventoryChanges {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// One line per change, ready to print: `+ vantage vlan20`, `~ domain corp.example: dns_servers 10.0.0.1 -> 10.0.0.2`.
    pub lines: Vec<String>,
}

impl Services {
    /// Makes the inventory what the text of `file` says: idempotent, all or nothing.
    ///
    /// # Errors
    /// [`super::Error::Invalid`] with every fault found in the file, one a line.
    pub async fn apply_inventory(
        &self,
        _actor: &Actor,
        _file: &str,
        _text: &str,
        _dry_run: bool,
    ) -> Result<InventoryChanges> {
        Err(super::unfinished())
    }
}
