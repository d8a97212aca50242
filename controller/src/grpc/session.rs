//! One session: messages in, events in, messages out. All decisions are the services'.

use std::{
    collections::{BTreeSet, HashSet},
    error::Error as _,
    pin::pin,
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{Fuse, FusedFuture as _},
};
use jiff::Timestamp;
use prost::Message as _;
use sekisho_proto::{
    limits::{MESSAGE_BYTES, OBSERVATIONS_PER_BATCH},
    v1::{self, controller_message::Message as Out, probe_message::Message as In},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use super::{convert, status::status};
use crate::service::{Ahead, Error, Ring, Seat, Services, Session, Work};

/// A session whose probe has jobs compares them again after this time, whatever it was told.
const LOOK: Duration = Duration::from_secs(30);
/// Every session looks at everything again after this time.
const LOOK_AT_EVERYTHING: Duration = Duration::from_secs(10 * 60);
/// What an outage of the database kept from being looked at is looked at again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Silence that ends a session, in heartbeats.
const MISSED_HEARTBEATS: u32 = 3;

/// Bytes around a plan in its message, at most.
const FRAME: usize = 64;

/// Everything that one session has.
pub(super) struct Link {
    pub(super) services: Services,
    pub(super) session: Session,
    /// Jobs that the probe has.
    pub(super) held: HashSet<Uuid>,
    /// Those of them that it is not through with.
    pub(super) open: HashSet<Uuid>,
    /// Planned jobs that it holds.
    pub(super) plans: Plans,
    /// Sequence of the last heartbeat that was heard; 0: Hello.
    pub(super) heartbeat: u64,
    pub(super) protocol: u32,
    pub(super) incoming: Streaming<v1::ProbeMessage>,
    pub(super) outgoing: mpsc::Sender<Result<v1::ControllerMessage, Status>>,
    pub(super) seat: Seat,
    /// What is to be looked at.
    pub(super) owed: Ring,
    pub(super) shutdown: watch::Receiver<bool>,
    /// The probe has handed in something new since its last heartbeat.
    pub(super) progressed: bool,
}

/// What a probe holds for the nights on which no controller is there.
pub(super) struct Plans {
    held: HashSet<Uuid>,
    /// What it was told last to hold, and of what the run has begun.
    told: Option<(BTreeSet<Uuid>, BTreeSet<Uuid>)>,
}

impl Plans {
    /// Of a probe that holds these. One that holds none need not be told to.
    pub(super) fn of(held: HashSet<Uuid>) -> Self {
        let told = held.is_empty().then(Default::default);
        Self { held, told }
    }
}

/// Why a session ends.
enum End {
    /// The probe went, or the connection did.
    Gone,
    /// The probe is to be told.
    Told(Status),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Told(status(&error))
    }
}

/// A short outage of the database does not end a session as long as nothing is lost by it: what it kept from being done is put off.
fn is_put_off(result: Result<(), End>) -> Result<bool, End> {
    match result {
        Ok(()) => Ok(false),
        Err(End::Told(status)) if status.code() == Code::Unavailable => Ok(true),
        Err(end) => Err(end),
    }
}

/// Returns some time after the probe left. What it sent before is dealt with by then, or waits for an answer of the database that
/// does not come: nothing else waits so long.
async fn left(outgoing: mpsc::Sender<Result<v1::ControllerMessage, Status>>, later: Duration) {
    outgoing.closed().await;
    tokio::time::sleep(later).await;
}

impl Link {
    /// Runs until either side ends it.
    pub(super) async fn run(mut self) {
        let _open = self.services.counters().session();
        let probe_left = left(self.outgoing.clone(), self.silence());
        let end = tokio::select! {
            end = self.exchange() => end.err().unwrap_or(End::Gone),
            () = probe_left => End::Gone,
        };
        let probe = self.session.probe;
        match end {
            End::Gone => tracing::info!(%probe, "a session ended"),
            End::Told(status) => {
                tracing::info!(%probe, reason = status.message(), "a session was ended");
                let patience = self.silence();
                // A probe that does not read any more needs no farewell.
                drop(timeout(patience, self.outgoing.send(Err(status))).await);
            }
        }
        if let Err(error) =
            self.services.unless_moved(Box::pin(self.services.close_session(&self.session))).await
        {
            tracing::debug!(%probe, error = error.source(), "the session is left to be closed as stale");
        }
    }

    fn silence(&self) -> Duration {
        self.services.settings().heartbeat.saturating_mul(MISSED_HEARTBEATS)
    }

    async fn exchange(&mut self) -> Result<(), End> {
        let services = self.services.clone();
        services.unless_moved(Box::pin(self.welcome())).await?;
        let (mut heard, mut looked) = (Instant::now(), Instant::now());
        // Trust came with the welcome. The rest is looked at once: what happened before the session had its seat did not ring.
        self.owed = Ring { trust: false, ..Ring::EVERYTHING };
        let mut owed_from = Instant::now();
        // Its turn to look, which it keeps waiting for while it answers messages.
        let mut turn = pin!(Fuse::terminated());
        loop {
            let deadline = heard + self.silence();
            let next_look = looked + if self.held.is_empty() { LOOK_AT_EVERYTHING } else { LOOK };
            let is_owed = self.owed != Ring::default();
            let waits = turn.is_terminated();
            tokio::select! {
                // A revocation is heeded however much the probe sends, and silence counts only when nothing waits to be
                // read: the controller may itself have been held up.
                biased;
                () = stopping(&mut self.shutdown) => {
                    return Err(End::Told(Status::unavailable("the controller is stopping")));
                }
                ring = self.seat.rung() => {
                    if ring.revoked {
                        let text = format!("probe {} is revoked", self.session.probe);
                        return Err(End::Told(Status::permission_denied(text)));
                    }
                    self.owed = self.owed.and(ring);
                }
                Some(turn) = &mut turn, if !waits => {
                    let ring = std::mem::take(&mut self.owed);
                    owed_from = Instant::now();
                    if is_put_off(services.unless_moved(Box::pin(self.heed(ring, turn))).await)? {
                        (self.owed, owed_from) = (self.owed.and(ring), Instant::now() + LOOK_AGAIN);
                    }
                }
                () = sleep_until(owed_from), if is_owed && waits => {
                    turn.set(self.services.turn_to_look().fuse());
                }
                message = self.incoming.message() => match message {
                    Ok(Some(message)) => {
                        // In memory of its own, like all that a session seldom does: of thousands most are idle.
                        // What was not answered ends the session: the probe sends it again, to whom it reaches.
                        services.unless_moved(Box::pin(self.answer(message))).await?;
                        heard = Instant::now();
                    }
                    Ok(None) | Err(_) => return Ok(()),
                },
                () = sleep_until(deadline) => {
                    return Err(End::Told(Status::deadline_exceeded("nothing was heard for three heartbeats")));
                }
                () = sleep_until(next_look) => {
                    looked = Instant::now();
                    let work = Ring { work: true, ..Ring::default() };
                    self.owed = self.owed.and(if self.held.is_empty() { Ring::EVERYTHING } else { work });
                }
            }
        }
    }

    async fn send(&self, message: Out) -> Result<(), End> {
        let message = v1::ControllerMessage { message: Some(message) };
        match timeout(self.silence(), self.outgoing.send(Ok(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn welcome(&self) -> Result<(), End> {
        let seconds = self.services.settings().heartbeat.as_secs().max(1);
        self.send(Out::Welcome(v1::Welcome {
            protocol: self.protocol,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            heartbeat_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
            clock: Some(convert::timestamp(Timestamp::now())),
            trust: self.services.trust().await?,
            controllers: self.services.settings().controllers.clone(),
        }))
        .await
    }

    async fn answer(&mut self, message: v1::ProbeMessage) -> Result<(), End> {
        match message.message {
            Some(In::Heartbeat(heartbeat)) => {
                let sequence = heartbeat.sequence;
                self.heartbeat = sequence;
                let beat = convert::beat(heartbeat, self.progressed);
                let noted = self.services.heartbeat(&self.session, &beat).await;
                if noted.is_ok() {
                    self.progressed = false;
                }
                // The next one says the same and more.
                is_put_off(noted.map_err(End::from))?;
                let clock = Some(convert::timestamp(Timestamp::now()));
                self.send(Out::Heartbeat(v1::HeartbeatReply { sequence, clock })).await
            }
            Some(In::Observations(batch)) => self.ingest(batch).await,
            Some(In::JobFinished(finished)) => match Uuid::from_slice(&finished.job) {
                Ok(job) => {
                    let _turn = self.services.turn_to_write().await;
                    self.services.job_finished(&self.session, job).await?;
                    self.open.remove(&job);
                    // The probe has room for more.
                    self.owed.work = true;
                    // And need not hold what it has done.
                    self.owed.plans |= self.plans.held.contains(&job);
                    Ok(())
                }
                Err(_) => Err(End::Told(Status::invalid_argument("JobFinished.job is a UUID of 16 bytes"))),
            },
            Some(In::Hello(_)) => {
                Err(End::Told(Status::invalid_argument("Hello comes once, at the beginning")))
            }
            // A message of a later version.
            None => Ok(()),
        }
    }

    async fn ingest(&mut self, batch: v1::ObservationBatch) -> Result<(), End> {
        let count = batch.observations.len();
        if count > OBSERVATIONS_PER_BATCH {
            return Err(End::Told(Status::invalid_argument(format!(
                "a batch has {count} observations; at most {OBSERVATIONS_PER_BATCH} are allowed"
            ))));
        }
        let probe = self.session.probe;
        let (results, unreadable): (Vec<_>, Vec<_>) =
            batch.observations.into_iter().map(convert::observation).partition(Result::is_ok);
        let results = results.into_iter().flatten().collect();
        let turn = self.services.turn_to_write().await;
        let began = Instant::now();
        let ingested = self
            .services
            .ingest(probe, results)
            .await
            .inspect_err(|_| self.services.counters().not_ingested())?;
        drop(turn);
        let dropped = unreadable.len() + ingested.dropped.len();
        self.services.counters().ingested(ingested.new, ingested.repeated, dropped, began.elapsed());
        self.progressed |= ingested.new > 0;
        let mut dropped = unreadable.into_iter().filter_map(Result::err).chain(ingested.dropped);
        // One line a batch: what a probe sends must not fill a disk.
        if let Some(why) = dropped.next() {
            tracing::warn!(%probe, dropped = 1 + dropped.count(), of = count, why, "observations were dropped");
        }
        self.send(Out::Ack(v1::Ack { batch: batch.batch })).await
    }

    /// Looks at what was rung for. Its turn lasts while it looks, not while the probe reads: one that does not must hold up nobody
    /// else.
    async fn heed(&mut self, ring: Ring, turn: OwnedSemaphorePermit) -> Result<(), End> {
        let trust = if ring.trust { Some(self.services.trust().await?) } else { None };
        // A controller that cannot read the plans says nothing of them: the probe goes by those that it holds.
        let ahead = match ring.plans {
            true => Some(self.services.ahead(&self.session, &self.plans.held).await?),
            false => None,
        };
        let most = usize::try_from(self.services.settings().jobs_per_probe).unwrap_or(usize::MAX);
        let work = match ring.work || ring.queued && self.open.len() < most {
            true => Some(self.services.work(&self.session, &self.held).await?),
            false => None,
        };
        drop(turn);
        if let Some(trust) = trust {
            self.send(Out::Trust(v1::Trust { trust })).await?;
        }
        if let Some(ahead) = ahead {
            self.plan(ahead).await?;
        }
        match work {
            Some(work) => self.work(work).await,
            None => Ok(()),
        }
    }

    /// Sends what the probe does not hold yet for the nights to come, and tells it what to hold.
    async fn plan(&mut self, ahead: Ahead) -> Result<(), End> {
        for planned in ahead.new {
            let id = planned.order.id;
            let body = convert::planned(self.session.probe, planned, Timestamp::now()).encode_to_vec();
            let signature = self.services.sign_plan(&body)?;
            let plan = v1::Plan { body, signature };
            if plan.encoded_len() + FRAME > MESSAGE_BYTES {
                tracing::warn!(job = %id, bytes = plan.encoded_len(), "a planned job does not fit in a message");
                continue;
            }
            self.send(Out::Plan(plan)).await?;
            self.plans.held.insert(id);
        }
        let told = (ahead.hold, ahead.begun);
        if self.plans.told.as_ref() != Some(&told) {
            let ids = |jobs: &BTreeSet<Uuid>| jobs.iter().map(|job| job.into_bytes().to_vec()).collect();
            self.send(Out::Plans(v1::Plans { jobs: ids(&told.0), begun: ids(&told.1) })).await?;
            self.plans.held.retain(|job| told.0.contains(job));
            self.plans.told = Some(told);
        }
        Ok(())
    }

    /// Sends what the probe does not have yet, and takes back what it should not have.
    async fn work(&mut self, work: Work) -> Result<(), End> {
        for order in work.orders {
            let id = order.id;
            self.send(Out::Job(convert::job(order, self.heartbeat))).await?;
            self.held.insert(id);
            self.open.insert(id);
            tracing::debug!(probe = %self.session.probe, job = %id, "a job was sent");
        }
        for job in work.forget.iter().chain(&work.cancel) {
            self.held.remove(job);
            self.open.remove(job);
        }
        for job in work.cancel {
            self.send(Out::Cancel(v1::Cancel { job: job.into_bytes().to_vec() })).await?;
        }
        Ok(())
    }
}

/// Returns when the controller stops.
async fn stopping(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is the controller.
    drop(shutdown.wait_for(|stop| *stop).await);
}
