//! The inventory: what the network looks like, declared in a file.

use sekisho_domain::{Change, Inventory, change};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{Actor, Error, Result, Services, commit};
use crate::store;

/// Most lines of a change that go to the audit log.
const AUDIT_LINES: usize = 200;

/// What an inventory file changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InventoryChanges {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// What changes: `kind` (`added`, `changed`, `removed`), `noun`, `name`, and `fields` with `field`, `from`, `to`.
    #[schema(value_type = Vec<Object>)]
    pub changes: Vec<Change>,
    /// The same, one line per change, ready to print: `+ vantage vlan20`, `~ vantage vlan20: vlan 20 -> 21`.
    pub lines: Vec<String>,
}

impl Services {
    /// Makes the inventory what the text of `file` says: idempotent, all or nothing.
    ///
    /// # Errors
    /// [`super::Error::Invalid`] with every fault found in the file, one a line, and when it declares nothing where there
    /// is something: that is rather a file that was not written.
    pub async fn apply_inventory(
        &self,
        actor: &Actor,
        file: &str,
        text: &str,
        dry_run: bool,
    ) -> Result<InventoryChanges> {
        let new = Inventory::parse(file, text).map_err(|faults| Error::Invalid(faults.to_string()))?;
        let mut transaction = self.begin().await?;
        store::inventory::lock(&mut transaction).await?;
        let old = store::inventory::read(&mut transaction).await?;
        let changes = change::diff(&old, &new);
        if new.is_empty() && !changes.is_empty() {
            return Err(Error::Invalid(format!(
                "{file}: it declares nothing, and so would remove all {} entries; an inventory has at least one table, \
                 such as [[vantage]]",
                changes.len()
            )));
        }
        let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
        if !dry_run && !changes.is_empty() {
            store::inventory::write(&mut transaction, &new).await?;
            let head: Vec<&String> = lines.iter().take(AUDIT_LINES).collect();
            let detail = json!({ "count": lines.len(), "changes": head });
            store::audit::record(&mut transaction, &actor.name, "apply", "inventory", detail).await?;
            commit(transaction).await?;
        }
        Ok(InventoryChanges { dry_run, changes, lines })
    }
}
