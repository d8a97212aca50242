//! What checks of a vantage find out, judged: facts in, a status out. One file a check.

pub mod clock;
pub mod computer_account;
pub mod host;
pub mod join_rights;
pub mod judgement;
pub mod path_mtu;
pub mod resolver;
pub mod srv_records;
