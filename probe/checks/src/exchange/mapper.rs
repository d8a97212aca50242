//! Endpoint mapper: bind to it, and be answered.

use super::carrier::{Dialogue, Framing, Stream};
use super::report::Report;
use super::{Exchange, Progress};
use crate::wire::Error;
use crate::wire::rpc::{self, BindReply, ENDPOINT_MAPPER};

const CALL: u32 = 1;

struct Mapper;

/// Over TCP. Nothing in it needs to be unforeseeable: the server decides nothing by it.
pub(super) fn over_stream() -> Box<dyn Exchange> {
    let framing = Framing { measure: rpc::measure, header: 0 };
    Box::new(Stream::new(rpc::bind(CALL, ENDPOINT_MAPPER), framing, Mapper))
}

impl Dialogue for Mapper {
    const PROTOCOL: &'static str = "rpc";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let report = Report::default();
        let report = match rpc::decode_bind(message, CALL)? {
            BindReply::Ack { result: 0, .. } => report.fact("bind", "accepted"),
            BindReply::Ack { result, reason, .. } => report
                .fact("bind", "rejected")
                .fact("bind-result", i64::from(result))
                .fact("bind-reason", i64::from(reason)),
            BindReply::Nak(reason) => report.fact("bind", "nak").fact("bind-reason", i64::from(reason)),
            BindReply::Fault(status) => {
                report.fact("bind", "fault").fact("status", format!("0x{status:08x}"))
            }
        };
        Ok(report.proven())
    }
}
