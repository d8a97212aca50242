//! All SQL, one file a noun.

/// Creates what is missing in the database. Safe to run by several controllers at once.
///
/// # Errors
/// When the database fails, or was migrated by a newer version.
pub async fn migrate(pool: &sqlx::PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    sqlx::migrate!("../migrations").run(pool).await
}
