//! Pure codecs and check state machines: bytes and time come in, actions go out.
//!
//! This crate has no sockets, no clock and no async runtime, and must not get any: whatever it decides can be tested
//! and fuzzed without a network. [`wire`] turns bytes into values and back; [`exchange`] is one conversation with a
//! service, from the first request to the proof that the service is there.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::panic,
        clippy::expect_used
    )
)]

pub mod classify;
pub mod exchange;
pub mod flow;
pub mod pace;
pub mod vantage;
pub mod wire;
