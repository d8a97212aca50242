//! What is told of: one piece of work, from when to when, and under what.

use jiff::Timestamp;
use sekisho_model::{SpanId, TraceParent};

/// A piece of work that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its trace and its number.
    pub context: TraceParent,
    /// What it is a part of; `None`: the trace begins with it.
    pub parent: Option<SpanId>,
    /// The kind of work, one of few words.
    pub name: String,
    /// Its part between programs.
    pub kind: Kind,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// What is to be known of it. Names are those of OpenTelemetry's semantic conventions where they have one, else begin with
    /// `sekisho.`
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it did not come to what it should have.
    pub failure: Option<String>,
}

/// What part a span has between programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Within one of them.
    Internal,
    /// Somebody asked and waited for it.
    Server,
    /// Somebody left work behind, and this took it up.
    Consumer,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Integer(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
