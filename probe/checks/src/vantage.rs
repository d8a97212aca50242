//! What checks of a vantage find out, judged: facts in, a status out. One file a check.

pub mod join_rights;
