//! Strangers: servers on every port of a domain controller that behave as no sound server does.
//!
//! They live in a network namespace of their own, where every address of 127.77.0.0/16 is one stranger. Which one a peer
//! meets follows from the address that it connects to, so one run of the probe meets all of them at once.

mod behaviour;
mod datagrams;
mod ground;
mod mapper;
mod replies;
mod run;
mod streams;
mod tls;

pub use behaviour::{Behaviour, Cut, Expectation, How, Mapper, Say, Then, When};
pub use ground::{address_of, on_ground};
pub use replies::corpus_size;
pub use run::{Ended, Run};
