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
#[path = "../support/receiver.rs"]
mod receiver;
#[path = "../support/schedules.rs"]
mod schedules;

mod alerts;
mod attacks;
mod autonomy;
mod baselines;
mod budgets;
mod change_request;
mod channels;
mod checks;
mod citus;
mod comparison;
mod dispatch;
mod enrolment;
mod exports;
mod fleet_health;
mod health;
mod history;
mod inventory;
mod link;
mod migrations;
mod observations;
mod operators;
mod outage;
mod readiness;
mod reservations;
mod retention;
mod schedule_runs;
mod spans;
mod suggest;
mod sweeps;
mod traces;
