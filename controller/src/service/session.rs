//! Sessions of probes: opened, kept alive, closed. The newest session of a probe counts.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Error, Event, Result, Services, commit,
    enrolment::{admitted, checked_text},
};
use crate::store::{
    self,
    session::{self, Greeting},
};

/// Most services that a probe may name.
const MOST_SERVICES: usize = 256;

/// What a probe says of itself when it connects.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Its version.
    pub version: String,
    /// Host name of its machine.
    pub host: String,
    /// Services that it can check.
    pub services: Vec<String>,
    /// How it sends ICMP echo.
    pub icmp: String,
    /// Its clock.
    pub clock: Option<Timestamp>,
    /// Observations on its disk.
    pub spooled: u64,
    /// Whether it keeps to the shares of budgets that come with jobs.
    pub keeps_shares: bool,
    /// And to those that come with planned jobs.
    pub keeps_plan_shares: bool,
}

/// What a probe says of itself again and again.
#[derive(Debug, Clone, Default)]
pub struct Beat {
    /// Observations on its disk.
    pub spooled: u64,
    /// Observations that it has dropped since it started.
    pub dropped: u64,
    /// Its clock.
    pub clock: Option<Timestamp>,
    /// What keeps it from working, in its own words.
    pub problems: Vec<String>,
    /// It has handed in something new since its last beat.
    pub progressed: bool,
}

/// An open session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The session.
    pub id: Uuid,
    /// The probe.
    pub probe: Uuid,
    /// Key of its vantage.
    pub vantage: i32,
    /// Whether the probe keeps to shares of budgets.
    pub keeps_shares: bool,
    /// And to those of planned jobs.
    pub keeps_plan_shares: bool,
}

impl Services {
    /// Opens a session for a probe whose certificate was checked. An older session of the probe ends.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when the probe is not known or revoked.
    pub async fn open_session(&self, probe: Uuid, hello: &Hello) -> Result<Session> {
        let id = Uuid::new_v4();
        let known = hello.services.len() <= MOST_SERVICES;
        if !known {
            return Err(Error::Invalid(format!("a probe names at most {MOST_SERVICES} services")));
        }
        for service in &hello.services {
            checked_text("service", service)?;
        }
        let greeting = Greeting {
            host: checked_text("host", &hello.host)?,
            version: checked_text("version", &hello.version)?,
            services: &hello.services,
            icmp: checked_text("icmp", &hello.icmp)?,
            spooled: count(hello.spooled),
            clock_offset_us: offset(hello.clock),
        };
        let mut transaction = self.begin().await?;
        let revoked = store::probe::is_revoked(&mut transaction, probe).await?;
        admitted(probe, revoked)?;
        let vantage = store::session::open(&mut transaction, probe, id, self.controller(), &greeting).await?;
        let Some(vantage) = vantage else { return Err(refused(probe)) };
        store::event::send(&mut transaction, Event::SessionOpened { probe, session: id }).await?;
        commit(transaction).await?;
        if !hello.keeps_shares {
            tracing::warn!(
                %probe,
                version = hello.version,
                "this version of the probe keeps to no budgets: it counts with all that it may send, and gets no job on targets \
                 whose budget is below that; update it"
            );
        }
        let (keeps_shares, keeps_plan_shares) = (hello.keeps_shares, hello.keeps_plan_shares);
        Ok(Session { id, probe, vantage, keeps_shares, keeps_plan_shares })
    }

    /// Notes that the probe was heard.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when the probe is revoked, [`Error::Conflict`] when another session took over.
    pub async fn heartbeat(&self, session: &Session, beat: &Beat) -> Result<()> {
        let noted = session::Beat {
            probe: session.probe,
            session: session.id,
            spooled: count(beat.spooled),
            dropped: count(beat.dropped),
            clock_offset_us: offset(beat.clock),
            problems: beat.problems.clone(),
            progressed: beat.progressed,
        };
        if self.inner.beats.write(self.pool(), noted.clone()).await? {
            return Ok(());
        }
        // By itself: it may wait for who holds the probe's row.
        let mut connection = self.connection().await?;
        if store::session::touch(&mut connection, &noted).await? {
            return Ok(());
        }
        let revoked = store::probe::is_revoked(&mut connection, session.probe).await?;
        admitted(session.probe, revoked)?;
        Err(taken_over())
    }

    /// Closes a session, unless another one has taken over.
    ///
    /// # Errors
    /// When the database fails; then the session counts as closed after a while all the same.
    pub async fn close_session(&self, session: &Session) -> Result<()> {
        let mut connection = self.connection().await?;
        Ok(store::session::close(&mut connection, session.probe, session.id).await?)
    }
}

fn refused(probe: Uuid) -> Error {
    Error::Forbidden(format!("probe {probe} is revoked"))
}

/// What the older of two sessions is told.
pub(super) fn taken_over() -> Error {
    Error::Conflict("another session of this probe took over".to_owned())
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Probe clock minus controller clock.
fn offset(clock: Option<Timestamp>) -> Option<i64> {
    clock.and_then(|clock| i64::try_from(clock.duration_since(Timestamp::now()).as_micros()).ok())
}
