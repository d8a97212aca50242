//! Checks of the vantage: what surrounds the flows and decides about a domain join as they do.
//!
//! Each check is a file here that talks, and a file of the same name in `sekisho_checks::vantage` that judges. A check sends
//! nothing to an address that the gate does not permit, and counts as the flows do towards the rates of a target.

mod ask;
mod clock;
mod computer_account;
mod host;
mod join_rights;
mod path_mtu;
mod resolver;
mod srv_records;

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use sekisho_model::{CheckKind, CheckStatus, Facts, Outcome, Transport};
use tokio::sync::OwnedSemaphorePermit;

use crate::runner::{Engine, Gate, Observed, Target};

pub(crate) use join_rights::{Credentials, LONGEST_PASSWORD, Pin, Trust};
pub(crate) use srv_records::served;

/// What is to be checked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Number under which the result is handed in.
    pub(crate) number: u32,
    /// The check.
    pub(crate) check: CheckKind,
    /// Active Directory DNS domain, lower case.
    pub(crate) domain: String,
    /// Resolvers that were named for the domain; empty: this host's own.
    pub(crate) dns_servers: Vec<IpAddr>,
    /// The domain controllers of the domain that are known.
    pub(crate) targets: Vec<Target>,
    /// The one that the check concerns; `None` where it concerns all.
    pub(crate) target: Option<Target>,
    /// Host name of the computer that the check concerns.
    pub(crate) computer: Option<String>,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: CheckStatus,
    /// The fact `reason` says in one word why the status is not `ok`.
    pub(crate) facts: Facts,
}

impl From<(CheckStatus, Facts)> for Verdict {
    fn from((status, facts): (CheckStatus, Facts)) -> Self {
        Self { status, facts }
    }
}

impl Verdict {
    /// It could not be found out, and why: a word, and a sentence for people.
    pub(crate) fn unknown(reason: &str, detail: impl Into<String>) -> Self {
        let facts = [("reason".to_owned(), reason.into()), ("detail".to_owned(), detail.into().into())];
        Self { status: CheckStatus::Unknown, facts: facts.into() }
    }
}

/// What a check may use.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub(crate) engine: Arc<Engine>,
    pub(crate) gate: Gate,
}

impl Means {
    /// Waits until something may be sent to a port, and gives the permit to hold meanwhile.
    ///
    /// # Errors
    /// The local scope forbids it; the text says what.
    pub(crate) async fn admit(
        &self,
        address: IpAddr,
        transport: Transport,
        port: u16,
    ) -> Result<Option<OwnedSemaphorePermit>, String> {
        self.gate.permit(address, transport, Some(port))?;
        Ok(self.engine.admit(address).await)
    }
}

/// Does a check. `credentials` are for [`CheckKind::JoinRights`] alone, and go to no other place than the domain controller.
pub(crate) async fn run(
    engine: Arc<Engine>,
    gate: Gate,
    request: Request,
    credentials: Option<Arc<Credentials>>,
) -> Observed {
    let means = Means { engine, gate };
    let number = request.number;
    let verdict = match request.check {
        CheckKind::Resolver => resolver::check(&means, &request).await,
        CheckKind::SrvRecords => srv_records::check(&means, &request).await,
        CheckKind::Clock => clock::check(&means, &request).await,
        CheckKind::PathMtu => path_mtu::check(&means, &request).await,
        CheckKind::ComputerAccount => computer_account::check(&means, &request).await,
        CheckKind::JoinRights => join_rights::check(&means, &request, credentials.as_deref()).await,
        CheckKind::Host => host::check(&means, &request).await,
    };
    Observed {
        outcome: Outcome::Open,
        status: Some(verdict.status),
        facts: verdict.facts,
        observed_at: Timestamp::now(),
        ..Observed::failed(number, "", "")
    }
}
