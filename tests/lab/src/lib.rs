//! A network of namespaces on one machine, with nftables as the access lists and a real Samba domain controller.
//!
//! This crate owns the ground truth: [`Lab`] builds the network, and [`truth`] tells what every flow of it comes to.
//! It knows nothing of probes or controllers. The network, the access lists and the truth are data, beside `src`.

pub mod cli;
mod farm;
mod guard;
mod lab;
mod namespace;
mod network;
mod ready;
mod samba;
mod serve;
mod state;
mod teardown;
mod tool;
mod topology;
mod truth;
mod ui;
mod verify;

pub use lab::{Lab, Options};
pub use state::{Condition, Summary, list};
pub use topology::{Kind, Node, Topology, topology};
pub use truth::{Expectation, Signal, farm_truth, truth};

/// The lab as an inventory for `sekisho apply`.
#[must_use]
pub fn inventory() -> &'static str {
    include_str!("../inventory.toml")
}
