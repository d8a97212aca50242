//! The agent in a subnet.
//!
//! Layers, each standing on the one before: `sekisho-checks` (pure codecs and machines) ← [`net`] (sockets, one attempt
//! at a time) ← [`runner`] (attempts, limits, verdicts) ← the agent (session with the controller, spool, scope).

mod agent;
mod capture;
pub mod cli;
mod convert;
mod dns;
pub mod identity;
pub mod limits;
mod metrics;
pub mod net;
mod plans;
pub mod resolver;
pub mod runner;
pub mod scope;
mod spool;
mod vantage;

pub use agent::Backoff;
