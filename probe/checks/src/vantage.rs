//! What checks of a vantage find out, judged: facts in, a status out. One file a check.

pub mod host;
pub mod judgement;
pub mod resolver;

pub mod srv_records;
