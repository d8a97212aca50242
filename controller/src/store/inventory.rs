//! The inventory in the database.

mod read;
mod write;

use sqlx::PgConnection;

use super::{Named, Result};

pub(crate) use read::{profiles, read};
pub(crate) use write::write;

/// Lets one change of the inventory happen at a time, until the transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection) -> Result<()> {
    /// "sekisho" in ASCII.
    const KEY: i64 = 0x73_656b_6973_686f;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(KEY)
        .execute(connection)
        .await
        .named("locking the inventory")?;
    Ok(())
}
