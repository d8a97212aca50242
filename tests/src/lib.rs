//! Harness of the suites: the real programs, in the real lab, on a real PostgreSQL.
//!
//! Nothing here is a stand-in. A suite that lacks root, a program or a package fails and says what it lacks.
#![allow(clippy::print_stderr, reason = "what a suite tells goes to the test's output")]

mod aerleon;
mod controller;
mod postgres;
mod probe;
mod programs;
mod prometheus;
mod proxy;
mod rotel;
mod stranger;
mod verdicts;
mod wait;
mod world;

pub use aerleon::Aerleon;
pub use controller::Controller;
pub use postgres::Postgres;
pub use probe::Probe;
pub use programs::Programs;
pub use prometheus::{Prometheus, complaints, promtool};
pub use proxy::{Proxy, Severed};
pub use rotel::{Collected, Rotel};
pub use stranger::{
    Behaviour, Cut, Ended, Expectation, How, Mapper, Run, Say, Then, When, address_of, corpus_size, on_ground,
};
pub use verdicts::{Difference, compare, compare_checks, runs};
pub use wait::wait_for;
pub use world::World;
