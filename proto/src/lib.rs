//! The wire contract between controller and probe: generated messages, and the limits that both sides check.
//!
//! Generated types stop at one conversion module on either side. This crate must not know what a message means.

pub mod codec;
pub mod limits;

/// Version 1 of the contract, generated from `sekisho/v1/fleet.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]
#[allow(
    clippy::wildcard_enum_match_arm,
    clippy::large_futures,
    clippy::too_many_lines,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("sekisho.v1");
}

/// Highest version of the contract that this build speaks.
pub const PROTOCOL: u32 = 1;

/// DNS name in every controller's server certificate. Probes verify this name and the pinned CA, never the host name
/// that they dialled, so a controller may move or stand behind a load balancer.
pub const CONTROLLER_NAME: &str = "controller.sekisho.internal";

/// What is signed of a plan begins with this, so that its signature is none of anything else.
pub const PLAN_CONTEXT: &[u8] = b"sekisho plan v1\0";
