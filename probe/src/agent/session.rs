//! One session with a controller, from Hello to whatever ends it.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, bail};
use jiff::Timestamp;
use prost::Message;
use sekisho_model::Service;
use sekisho_proto::{
    PROTOCOL, limits,
    v1::{
        self, controller_message::Message as FromController, fleet_client::FleetClient,
        probe_message::Message as FromProbe,
    },
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{Agent, End, beats::Beats, problems::problems};
use crate::{
    convert::{self, Job},
    identity::{self, Identity},
    scope::Scope,
};

/// Messages on the way to the controller.
const OUTGOING: usize = 32;
/// Time for Welcome, and for the transport to take a message.
const PATIENCE: Duration = Duration::from_secs(20);
/// Silence of the controller that ends a session, in halves of a heartbeat: it answers each one. Two may be late, and with the
/// usual heartbeat of 5 s the probe is at another controller within 15 s.
const SILENT_HALVES: u32 = 5;
/// A batch is closed when it has this many bytes, so that it stays under the limit of a message.
const BATCH_BYTES: usize = limits::MESSAGE_BYTES / 2;
/// Most bytes around an observation in a batch: a tag and a length.
const FRAME_BYTES: usize = 8;
/// Shortest time from the start of a session to a renewal.
const RENEW_NOT_BEFORE: Duration = Duration::from_secs(10);
/// How often the disk is written to while nothing is observed. After a failure with every heartbeat.
const CHECK_DISK: Duration = Duration::from_secs(60);
/// Renewal is tried again after this long.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// Runs one session. Returns when it ended; the jobs run on.
pub(super) async fn run(agent: &mut Agent, controller: &str) -> anyhow::Result<End> {
    let now = Timestamp::now();
    if now > agent.identity.valid.1 {
        bail!(
            "the certificate of this probe ended at {}; enrol it again with a new token",
            agent.identity.valid.1
        );
    }
    let channel = identity::connect(controller, identity::trusting(&agent.identity)?).await?;
    let (outgoing, messages) = mpsc::channel(OUTGOING);
    let (hello, beats) = (hello(agent), Beats::hello());
    outgoing.send(message(FromProbe::Hello(hello))).await.context("the session ended at once")?;
    let mut client = FleetClient::new(channel.clone())
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::MESSAGE_BYTES);
    let opened = tokio::time::timeout(PATIENCE, client.session(ReceiverStream::new(messages))).await;
    let opened = opened.context("the controller does not open the session")?;
    let mut incoming = opened.map_err(|status| heed(agent, status))?.into_inner();
    let first = tokio::time::timeout(PATIENCE, incoming.message()).await;
    let first = first.context("the controller does not greet")?.map_err(refused)?;
    let Some(v1::ControllerMessage { message: Some(FromController::Welcome(welcome)) }) = first else {
        bail!("the controller begins with another message than Welcome");
    };
    agent.welcomed = Some(std::time::Instant::now());
    agent.addresses.tell(welcome.controllers);
    let presence = agent.presence.here();
    agent.heard(welcome.clock);
    let renew = renew_in(&agent.identity);
    let _open = agent.metrics.session();
    let mut session = Session {
        agent,
        channel,
        outgoing,
        heartbeat: Duration::from_secs(welcome.heartbeat_seconds.clamp(1, 300).into()),
        heard: Instant::now(),
        sequence: 0,
        batch: 0,
        cursor: 0,
        beats,
        in_flight: HashMap::new(),
        checked: None,
    };
    if session.agent.identity.trust(&welcome.trust)? {
        tracing::info!("the set of controllers changed");
    }
    tracing::info!(controller, version = welcome.version, "session open");
    let end = session.serve(incoming, renew).await;
    drop(presence);
    end
}

fn hello(agent: &Agent) -> v1::Hello {
    // Not those of which only the spool knows: they were cut short with an earlier process, and must come again.
    let jobs = agent.jobs.ids().into_iter().chain(agent.jobs.finished());
    v1::Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: identity::host(),
        services: Service::catalogue().map(Service::name).collect(),
        icmp: agent.icmp.word().to_owned(),
        jobs: jobs.take(limits::JOBS_PER_PROBE).map(|id| id.as_bytes().to_vec()).collect(),
        clock: Some(convert::timestamp(Timestamp::now())),
        spooled: agent.spool.held().borrow().rows,
        planned: agent.plans().held.keys().map(|id| id.as_bytes().to_vec()).collect(),
        keeps_shares: true,
        keeps_plan_shares: true,
    }
}

fn message(message: FromProbe) -> v1::ProbeMessage {
    v1::ProbeMessage { message: Some(message) }
}

/// What a status of the controller means for a person.
fn refused(status: tonic::Status) -> anyhow::Error {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the others speak for themselves")]
    match status.code() {
        tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => anyhow::anyhow!(
            "the controller refuses this probe: {}; if it was revoked, enrol it again with a new token",
            status.message()
        ),
        _ => anyhow::anyhow!("the session ended: {}", status.message()),
    }
}

/// The same for a status that ends a session. A controller that is trusted says that this probe is revoked, or is none.
fn heed(agent: &Agent, status: tonic::Status) -> anyhow::Error {
    if status.code() == tonic::Code::PermissionDenied {
        agent.shut_out();
    }
    refused(status)
}

/// Never at once: a certificate that is short or comes from a clock that is behind must not make sessions spin.
fn renew_in(identity: &Identity) -> Duration {
    let left = identity.renew_at().as_second() - Timestamp::now().as_second();
    Duration::from_secs(u64::try_from(left).unwrap_or(0)).max(RENEW_NOT_BEFORE)
}

/// As many of the observations as fit in one message, and their numbers in the spool. The first one always does: what
/// [`convert::observation`] makes is smaller than a message.
fn batch(found: Vec<(u64, v1::Observation)>) -> (Vec<u64>, Vec<v1::Observation>) {
    let mut bytes = 0;
    let fitting = found.into_iter().enumerate().take_while(|(place, (_, observation))| {
        // With a few bytes for its place in the batch.
        bytes += observation.encoded_len() + FRAME_BYTES;
        *place == 0 || bytes <= BATCH_BYTES
    });
    fitting.map(|(_, found)| found).unzip()
}

struct Session<'a> {
    agent: &'a mut Agent,
    channel: Channel,
    outgoing: mpsc::Sender<v1::ProbeMessage>,
    heartbeat: Duration,
    heard: Instant,
    sequence: u64,
    batch: u64,
    /// Highest spool number sent in this session.
    cursor: u64,
    /// When Hello (0) and the last heartbeats were sent.
    beats: Beats,
    /// Spool numbers of each batch that is not yet acknowledged.
    in_flight: HashMap<u64, Vec<u64>>,
    /// When the disk was last written to for the sake of it.
    checked: Option<Instant>,
}

impl Session<'_> {
    async fn serve(
        &mut self,
        mut incoming: tonic::Streaming<v1::ControllerMessage>,
        renew: Duration,
    ) -> anyhow::Result<End> {
        let mut ticks = tokio::time::interval(self.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held = self.agent.spool.held();
        let mut ends = self.agent.jobs.ends();
        let renewal = tokio::time::sleep(renew);
        tokio::pin!(renewal);
        loop {
            let silent = self.heard + self.heartbeat * SILENT_HALVES / 2;
            let may_send =
                self.in_flight.len() < limits::BATCHES_IN_FLIGHT && held.borrow().last > self.cursor;
            tokio::select! {
                received = incoming.message() => {
                    let received = received.map_err(|status| heed(self.agent, status))?;
                    let Some(received) = received else { bail!("the controller ended the session") };
                    self.heard = Instant::now();
                    self.agent.metrics.heard();
                    self.take(received).await?;
                }
                _ = ticks.tick() => self.beat().await?,
                () = std::future::ready(()), if may_send => self.send_batch().await?,
                changed = held.changed(), if !may_send => changed.context("the spool has ended")?,
                changed = ends.changed() => changed.context("the jobs have ended")?,
                () = tokio::time::sleep_until(silent) => {
                    bail!("nothing was heard from the controller for {:.0} s", self.heard.elapsed().as_secs_f32());
                }
                () = &mut renewal => {
                    match self.renew().await {
                        Ok(()) => return Ok(End::Renewed),
                        Err(error) => {
                            tracing::warn!(error = %format!("{error:#}"), "the certificate was not renewed");
                            renewal.as_mut().reset(Instant::now() + RENEW_AGAIN);
                        }
                    }
                }
            }
            self.report_finished().await?;
        }
    }

    async fn send(&self, what: FromProbe) -> anyhow::Result<()> {
        let sent = tokio::time::timeout(PATIENCE, self.outgoing.send(message(what))).await;
        sent.context("the connection is stuck")?.context("the session ended")
    }

    async fn beat(&mut self) -> anyhow::Result<()> {
        self.sequence += 1;
        let held = self.agent.spool.held().borrow().clone();
        if held.failure.is_some() || self.checked.is_none_or(|last| last.elapsed() > CHECK_DISK) {
            self.checked = Some(Instant::now());
            self.agent.spool.check();
        }
        let beat = v1::Heartbeat {
            sequence: self.sequence,
            clock: Some(convert::timestamp(Timestamp::now())),
            jobs: u32::try_from(self.agent.jobs.ids().len()).unwrap_or(u32::MAX),
            spooled: held.rows,
            problems: problems(&Scope::read(&self.agent.state), &held),
            dropped: held.dropped,
        };
        self.beats.sent(self.sequence);
        self.send(FromProbe::Heartbeat(beat)).await
    }

    async fn take(&mut self, received: v1::ControllerMessage) -> anyhow::Result<()> {
        match received.message {
            // A message of a later version.
            None => tracing::debug!("a message of an unknown kind is skipped"),
            Some(FromController::Welcome(_)) => {}
            Some(FromController::Heartbeat(reply)) => self.agent.heard(reply.clock),
            Some(FromController::Plan(plan)) => self.agent.take_plan(&plan),
            Some(FromController::Plans(plans)) => self.agent.keep_plans(&plans),
            Some(FromController::Job(job)) => self.take_job(job).await?,
            Some(FromController::Cancel(cancel)) => {
                if let Some(id) = convert::uuid(&cancel.job) {
                    self.agent.jobs.cancel(id);
                }
            }
            Some(FromController::Ack(ack)) => {
                if let Some(numbers) = self.in_flight.remove(&ack.batch) {
                    self.agent.spool.forget(numbers).await;
                }
            }
            Some(FromController::Trust(trust)) => {
                if self.agent.identity.trust(&trust.trust)? {
                    tracing::info!("the set of controllers changed");
                }
            }
        }
        Ok(())
    }

    async fn take_job(&mut self, job: v1::Job) -> anyhow::Result<()> {
        let id = job.id.clone();
        let started = convert::job(job).and_then(|job| {
            let within = job.within.saturating_sub(self.beats.since(job.heartbeat));
            self.agent.jobs.start(Job { within, ..job })
        });
        if let Err(why) = started {
            tracing::error!(why, "a job is refused");
            self.send(FromProbe::JobFinished(v1::JobFinished { job: id })).await?;
        }
        Ok(())
    }

    async fn send_batch(&mut self) -> anyhow::Result<()> {
        let found = self.agent.spool.after(self.cursor, limits::OBSERVATIONS_PER_BATCH).await?;
        let (numbers, observations) = batch(found);
        let Some(last) = numbers.last().copied() else {
            // The newest were forgotten meanwhile: nothing is left up to there.
            self.cursor = self.agent.spool.held().borrow().last;
            return Ok(());
        };
        self.cursor = last;
        self.batch += 1;
        self.in_flight.insert(self.batch, numbers);
        self.send(FromProbe::Observations(v1::ObservationBatch { batch: self.batch, observations })).await
    }

    /// Reports ended jobs whose observations the controller has all committed.
    async fn report_finished(&mut self) -> anyhow::Result<()> {
        let finished = self.agent.jobs.finished();
        if finished.is_empty() {
            return Ok(());
        }
        let held = self.agent.spool.held().borrow().jobs.clone();
        for id in finished.into_iter().filter(|id| !held.contains_key(id)) {
            // Before it is forgotten here: a planned job must not begin again.
            self.agent.plans().done(id);
            self.agent.jobs.reported(id);
            self.send(FromProbe::JobFinished(v1::JobFinished { job: id.as_bytes().to_vec() })).await?;
        }
        Ok(())
    }

    async fn renew(&mut self) -> anyhow::Result<()> {
        let (key, csr) = Identity::request()?;
        let mut client = FleetClient::new(self.channel.clone());
        let given = tokio::time::timeout(PATIENCE, client.renew(v1::RenewRequest { csr })).await;
        let given = given.context("the controller does not answer")?.map_err(refused)?.into_inner();
        self.agent.identity = self.agent.identity.renewed(&key, &given)?;
        tracing::info!(until = %self.agent.identity.valid.1, "certificate renewed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(number: u64, bytes: usize) -> (u64, v1::Observation) {
        let fact = v1::Fact { name: "x".to_owned(), value: Some(v1::fact::Value::Text("y".repeat(bytes))) };
        (number, v1::Observation { facts: vec![fact], ..Default::default() })
    }

    #[test]
    fn a_batch_is_never_larger_than_a_message() {
        for bytes in [0, 100, 8_192, 20_000, limits::MESSAGE_BYTES / 4, 3 * limits::MESSAGE_BYTES / 4] {
            let all: Vec<u64> = (1..=if bytes < 50_000 { 256 } else { 8 }).collect();
            let mut left: Vec<_> = all.iter().map(|number| observation(*number, bytes)).collect();
            let mut sent = Vec::new();
            while !left.is_empty() {
                let (numbers, observations) = batch(left.clone());
                assert!(!numbers.is_empty(), "{bytes}: it goes on");
                left.drain(..numbers.len());
                sent.extend(numbers);
                let message =
                    message(FromProbe::Observations(v1::ObservationBatch { batch: u64::MAX, observations }));
                assert!(message.encoded_len() <= limits::MESSAGE_BYTES, "{bytes}: {}", message.encoded_len());
            }
            assert_eq!(sent, all, "{bytes}");
        }
    }
}
