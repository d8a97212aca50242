//! The controller.

pub mod app;
pub mod background;
pub mod cli;
pub mod config;
pub mod data_dir;
pub mod database;
pub mod grpc;
pub mod http;
pub mod identity;
pub(crate) mod metrics;
pub mod notify;
pub mod privilege;
pub mod service;
pub mod store;
pub mod traces;
