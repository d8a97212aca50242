//! All SQL, one file a noun.
//!
//! Functions take a connection, so that services decide what belongs to one transaction. Times are compared with the
//! database's clock only. Locks are taken in this order, so that no two transactions wait for each other: the inventory
//! (advisory), a schedule, a probe, a sweep, jobs by id, the spans of a vantage (advisory), targets, a planned run, budgets by id.
//! A transaction that holds jobs never asks for a sweep. Applying an inventory takes schedules last: who holds one waits for
//! nothing else of it. Alerts (advisory) are locked by transactions that ask for none of these.

pub(crate) mod alert;
pub(crate) mod audit;
pub(crate) mod baseline;
pub mod block;
pub(crate) mod budget;
pub mod check_result;
pub(crate) mod computer;
pub(crate) mod controller;
pub(crate) mod diff;
pub(crate) mod discovery;
pub(crate) mod domain;
pub(crate) mod enrolment;
mod error;
pub(crate) mod event;
pub(crate) mod gaps;
pub(crate) mod health;
pub mod history;
pub(crate) mod inventory;
pub mod job;
pub(crate) mod letter;
pub(crate) mod metrics;
pub(crate) mod names;
pub(crate) mod notice;
pub mod observation;
pub(crate) mod operator;
pub(crate) mod plan;
pub(crate) mod plan_run;
pub(crate) mod probe;
pub(crate) mod readiness;
pub(crate) mod schedule;
pub(crate) mod schedule_run;
pub(crate) mod service;
pub(crate) mod session;
pub mod span;
pub(crate) mod sweep;
pub(crate) mod target;
pub(crate) mod tasks;
pub(crate) mod trace;
pub(crate) mod vantage;
pub mod work;

pub use event::Event;

pub(crate) use error::{Error, Named, Result};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Creates what is missing in the database. Safe to run by several controllers at once.
///
/// # Errors
/// When the database fails, or was migrated by a newer version.
pub async fn migrate(pool: &sqlx::PgPool) -> std::result::Result<(), sqlx::migrate::MigrateError> {
    MIGRATIONS.run(pool).await
}

/// Numbers of the migrations that this version has.
pub(crate) fn migrations() -> Vec<i64> {
    MIGRATIONS.iter().map(|migration| migration.version).collect()
}
