//! A network of namespaces on one machine, with nftables as the access lists and a real Samba domain controller.
//!
//! This crate owns the ground truth: [`Lab`] builds the network, and [`truth`] tells what every flow of it comes to.
//! It knows nothing of probes or controllers. The network, the access lists and the truth are data, beside `src`.

pub mod cli;
mod domain;
mod farm;
mod guard;
mod lab;
mod namespace;
mod network;
mod program;
mod ready;
mod samba;
mod scene;
mod serve;
mod signal;
mod stage;
mod state;
mod teardown;
mod tool;
mod topology;
mod truth;
mod ui;
mod verify;
mod wanted;

pub use lab::{Lab, Options};
pub use scene::{ExpectedCheck, Scene, User, scene, scenes};
pub use signal::Signal;
pub use state::{Condition, Summary, list};
pub use topology::{Kind, Node, Topology, topology};
pub use truth::{Expectation, farm_truth, truth};
pub use wanted::{Near, Not, Wanted, WantedFacts, unmet};

/// The lab as an inventory for `sekisho apply`.
#[must_use]
pub fn inventory() -> &'static str {
    include_str!("../inventory.toml")
}
