//! The controller.

pub mod background;
pub mod config;
pub mod data_dir;
pub mod database;
pub mod grpc;
pub mod identity;
pub mod privilege;
pub mod service;
pub mod store;
