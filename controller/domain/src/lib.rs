//! The pure domain of the controller: what an inventory may say, what a change of it means, how a sweep is cut into jobs,
//! when schedules run, the spans of flows, what results say, and what of it is told.
//!
//! No I/O, no clock, no database: values come in, decisions go out.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic, clippy::expect_used)
)]

pub mod alert;
pub mod attribution;
pub mod baseline;
pub mod budget;
pub mod capture;
pub mod change;
pub mod change_request;
pub mod compare;
pub mod csv;
pub mod gaps;
pub mod health;
pub mod ids;
pub mod inventory;
pub mod plan;
pub mod planned;
pub mod policy;
pub mod profile;
pub mod readiness;
#[cfg(test)]
mod sample;
pub mod schedule;
pub mod span;
pub mod suggest;

pub use capture::Capture;
pub use change::{Change, ChangeKind, FieldChange};
pub use ids::{DomainId, TargetId, VantageId};
pub use inventory::{Faults, Inventory};
