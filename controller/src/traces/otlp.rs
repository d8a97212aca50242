//! OTLP, the protocol of OpenTelemetry: the messages of an export of spans, as far as they are used here.
//!
//! Fields and their numbers are those of `opentelemetry/proto/collector/trace/v1/trace_service.proto`, version 1, which is stable.

use super::{Kind, Span as Told, Value as Worth};

/// What is sent: `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Export {
    /// Spans, by who made them.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// Spans of one program.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceSpans {
    /// The program.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// Its spans, by part of it.
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

/// A program.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// What is to be known of it.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// Spans of one part of a program.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScopeSpans {
    /// The part.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// Its spans.
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
}

/// A part of a program.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Scope {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// A span.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Span {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// 8 bytes, or none.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// Its name.
    #[prost(string, tag = "5")]
    pub name: String,
    /// 1: internal, 2: server, 5: consumer.
    #[prost(int32, tag = "6")]
    pub kind: i32,
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    /// What is to be known of it.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// How it ended, where it failed.
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
    /// Those of Trace Context in the lowest eight bits.
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
}

/// How a span ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    /// Why.
    #[prost(string, tag = "2")]
    pub message: String,
    /// 2: it failed.
    #[prost(int32, tag = "3")]
    pub code: i32,
}

/// An attribute.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// The value of an attribute.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AnyValue {
    /// One of these.
    #[prost(oneof = "Value", tags = "1, 2, 3")]
    pub value: Option<Value>,
}

/// The kinds of values that are used.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Value {
    /// A text.
    #[prost(string, tag = "1")]
    Text(String),
    /// Yes or no.
    #[prost(bool, tag = "2")]
    Flag(bool),
    /// A number.
    #[prost(int64, tag = "3")]
    Integer(i64),
}

/// What comes back: `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    /// Where not everything was taken.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// What was not taken.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PartialSuccess {
    /// How many spans.
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// Spans of this program, which is described by `resource`.
pub(super) fn export(resource: &[(&'static str, Worth)], spans: &[Told]) -> Export {
    let scope = Scope { name: "sekisho".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans: spans.iter().map(span).collect() }];
    let resource = Some(Resource { attributes: attributes(resource) });
    Export { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
}

fn span(told: &Told) -> Span {
    const FAILED: i32 = 2;
    let nanoseconds = |time: jiff::Timestamp| u64::try_from(time.as_nanosecond()).unwrap_or(0);
    Span {
        trace_id: told.context.trace.number().to_be_bytes().to_vec(),
        span_id: told.context.span.number().to_be_bytes().to_vec(),
        parent_span_id: told.parent.map(|span| span.number().to_be_bytes().to_vec()).unwrap_or_default(),
        name: told.name.clone(),
        kind: match told.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Consumer => 5,
        },
        start_time_unix_nano: nanoseconds(told.start),
        end_time_unix_nano: nanoseconds(told.end.max(told.start)),
        attributes: attributes(&told.attributes),
        status: told.failure.clone().map(|message| Status { message, code: FAILED }),
        flags: told.context.sampled.into(),
    }
}

fn attributes(list: &[(&'static str, Worth)]) -> Vec<KeyValue> {
    let value = |worth: &Worth| match worth {
        Worth::Text(text) => Value::Text(text.clone()),
        Worth::Integer(number) => Value::Integer(*number),
        Worth::Flag(flag) => Value::Flag(*flag),
    };
    let attribute = |(key, worth): &(&'static str, Worth)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { value: Some(value(worth)) }),
    };
    list.iter().map(attribute).collect()
}
