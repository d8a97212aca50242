//! The words that controller and probe share, and the JSON contract of the matrix.
//!
//! Pure values: no I/O, no clock, no wire format. [`Service`] names what is tested, [`Outcome`] what came of it,
//! [`Cell`] is one square of the matrix as users read it, and [`table`] draws the matrix as text for a terminal.

mod cell;
mod check;
mod computer;
mod outcome;
mod profile;
pub mod rates;
mod service;
pub mod table;
mod trace;

pub use cell::{Attempt, Cell, Fact, Facts, Matrix, SweepState, SweepSummary};
pub use check::{Check, CheckKind, CheckStatus, UnknownCheck, UnknownStatus};
pub use computer::{BadComputerName, ComputerName};
pub use outcome::{Outcome, UnknownOutcome};
pub use profile::{BuiltIn, DEFAULT_PROFILE};
pub use service::{Need, Protocol, RpcInterface, Service, Transport, UnknownService};
pub use trace::{BadTraceParent, SpanId, TraceId, TraceParent};
