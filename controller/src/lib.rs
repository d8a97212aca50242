//! The controller.

pub mod background;
pub mod grpc;
pub mod service;
pub mod store;
