//! May this account join this computer: asked of a domain controller by LDAP inside TLS, as the account itself.
//!
//! The password leaves this process only after the certificate of the other side was verified, only to a domain
//! controller that serves the domain, and never twice once it was refused. Referrals are not followed.

mod channel;
mod credentials;
mod questions;
mod record;
mod session;
mod trust;

use std::time::Duration;

use sekisho_checks::vantage::join_rights::{self as judge, Name};
use sekisho_model::Facts;
use tokio::time::timeout;

use super::{Means, Request, Verdict};
use crate::runner::Target;
use channel::{Channel, NoChannel, Way};
use session::{Broken, Session};

pub(crate) use credentials::{Credentials, LONGEST_PASSWORD};
pub(crate) use trust::{Pin, Trust};

/// The whole check takes no longer; what is not known by then is unknown.
const WHOLE: Duration = Duration::from_secs(18);
/// Domain controllers that are tried until one lets itself be asked.
const CANDIDATES: usize = 4;
/// Ways to the directory of a domain, and to the catalog of a forest.
const DIRECTORY: [Way; 2] = [Way::tls(636), Way::start_tls(389)];
const CATALOG: [Way; 2] = [Way::tls(3269), Way::start_tls(3268)];

pub(super) async fn check(means: &Means, request: &Request, credentials: Option<&Credentials>) -> Verdict {
    let Some(credentials) = credentials else {
        return Verdict::unknown("no-credentials", "no account was named whose rights could be checked");
    };
    let name = request.computer.as_deref().map(Name::new);
    if let Some((status, facts)) = name.as_ref().and_then(judge::impossible_name) {
        return Verdict { status, facts };
    }
    let check = Check { means, request, credentials };
    // Boxed: all checks of the vantage are one future, which this one would make large.
    match timeout(WHOLE, Box::pin(check.run(name))).await {
        Ok(Ok(verdict) | Err(verdict)) => verdict,
        Err(_) => Verdict::unknown(
            "timed-out",
            format!("no end within {} s, and nothing is concluded", WHOLE.as_secs()),
        ),
    }
}

struct Check<'a> {
    means: &'a Means,
    request: &'a Request,
    credentials: &'a Credentials,
}

impl Check<'_> {
    /// An early end is an error here, and a verdict all the same.
    async fn run(&self, name: Option<Name>) -> Result<Verdict, Verdict> {
        let targets: Vec<&Target> =
            self.request.target.iter().chain(&self.request.targets).take(CANDIDATES).collect();
        let channel = self.open(&targets, &DIRECTORY).await.map_err(NoChannel::into_verdict)?;
        let facts = self.facts(&channel);
        let found = self.ask(channel, &targets, name).await;
        let mut verdict = found.unwrap_or_else(|early| early);
        verdict.facts.extend(facts);
        Ok(verdict)
    }

    async fn open(&self, targets: &[&Target], ways: &[Way]) -> Result<Channel, NoChannel> {
        channel::open(self.means, targets, ways, self.credentials.trust(), &self.request.domain).await
    }

    fn facts(&self, channel: &Channel) -> Facts {
        let mut facts = channel.facts();
        facts.insert("join-user".to_owned(), self.credentials.user().into());
        facts
    }

    async fn ask(
        &self,
        channel: Channel,
        targets: &[&Target],
        name: Option<Name>,
    ) -> Result<Verdict, Verdict> {
        let target = channel.target().clone();
        let mut session = Session::new(channel);
        let domain = questions::domain(&mut session, &self.request.domain).await?;
        self.bind(&mut session, &domain).await?;
        let catalog = match name {
            Some(_) => self.catalog(&target, targets, &domain).await,
            None => Err(String::new()),
        };
        let findings = questions::ask(session, catalog, self.credentials, &domain, name).await?;
        let (status, facts) = judge::judge(&findings);
        Ok(Verdict { status, facts })
    }

    /// A password that was refused is not sent again: it would count towards a lock-out of the account. So the others
    /// wait until the first bind has ended; a refusal is then theirs too, and so is an end without an answer.
    async fn bind(&self, session: &mut Session, domain: &str) -> Result<(), Verdict> {
        let mut refusals = self.credentials.refusals().await;
        if let Some((status, facts)) = refusals.get(domain) {
            return Err(Verdict { status: *status, facts: facts.clone() });
        }
        let refusal = match session.bind(self.credentials, domain).await {
            Ok(None) => return Ok(()),
            Ok(Some((status, facts))) => Verdict { status, facts },
            Err(broken) => broken.into(),
        };
        refusals.insert(domain.to_owned(), (refusal.status, refusal.facts.clone()));
        Err(refusal)
    }

    /// A bound session with a global catalog, of the same domain controller or else of the first other one; in words
    /// why there is none.
    async fn catalog(&self, this: &Target, targets: &[&Target], domain: &str) -> Result<Session, String> {
        let others = targets.iter().copied().filter(|other| *other != this).take(1);
        let candidates: Vec<&Target> = std::iter::once(this).chain(others).collect();
        let channel = self.open(&candidates, &CATALOG).await.map_err(|none| none.in_words())?;
        let mut session = Session::new(channel);
        match session.bind(self.credentials, domain).await {
            Ok(None) => Ok(session),
            Ok(Some(_)) => Err("the global catalog refuses the bind".to_owned()),
            Err(broken) => Err(broken.to_string()),
        }
    }
}

impl From<Broken> for Verdict {
    fn from(broken: Broken) -> Self {
        Self::unknown(broken.word(), broken.to_string())
    }
}
