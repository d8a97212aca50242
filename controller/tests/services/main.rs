//! The services against a real PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "a test fails by panicking, and is not short of stack"
)]

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/fleet.rs"]
mod fleet;

#[path = "../support/link.rs"]
mod link_support;
#[path = "../support/nights.rs"]
mod nights;
#[path = "../support/schedules.rs"]
mod schedules;

mod attacks;
mod budgets;
mod change_request;
mod checks;
mod comparison;
mod dispatch;
mod enrolment;
mod exports;
mod history;
mod inventory;
mod link;
mod migrations;
mod observations;
mod operators;
mod outage;
mod retention;
mod schedule_runs;
mod spans;
mod sweeps;
