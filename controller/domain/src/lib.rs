//! The pure domain of the controller: what an inventory may say, what a change of it means, how a sweep is cut into jobs,
//! when schedules run, the spans of flows, and what results say.
//!
//! No I/O, no clock, no database: values come in, decisions go out.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic, clippy::expect_used)
)]

pub mod attribution;
pub mod budget;
pub mod capture;
pub mod change;
pub mod change_request;
pub mod compare;
pub mod gaps;
pub mod ids;
pub mod inventory;
pub mod plan;
pub mod policy;
pub mod profile;
#[cfg(test)]
mod sample;
pub mod schedule;
pub mod span;

pub use capture::Capture;
pub use change::{Change, ChangeKind, FieldChange};
pub use ids::{DomainId, TargetId, VantageId};
pub use inventory::{Faults, Inventory};
