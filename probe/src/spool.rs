//! Observations on disk until the controller has committed them.
//!
//! One file of `redb`, every batch of observations one committed transaction. Bounded in rows, bytes and age:
//!
//! - What comes when it is full is dropped and counted, and its task ends as missed. The oldest observations are kept,
//!   because they are the ones that nobody can make again.
//! - What is older than [`KEEP`] is dropped and counted: a controller has forgotten the sweep. Only a clock that goes as it did
//!   when a controller was last heard says what is old.
//!
//! Both counts stand in the file, and stay. So that a person can see them while the file is this process's, `spool.json`
//! beside it is written now and then ([`report`]).

pub(crate) mod report;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use prost::Message;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use sekisho_proto::v1;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

const FILE: &str = "spool.redb";
const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("observation");
/// Written to find out whether the disk takes anything.
const CHECK: TableDefinition<(), u64> = TableDefinition::new("check");
/// Most observations kept.
pub(crate) const ROWS: u64 = 200_000;
/// Most bytes of observations kept.
pub(crate) const BYTES: u64 = 128 << 20;
/// Observations older than this are dropped.
pub(crate) const KEEP: Duration = Duration::from_secs(35 * 24 * 60 * 60);
/// Counts of dropped observations, by why.
const DROPPED: TableDefinition<&str, u64> = TableDefinition::new("dropped");
const FULL: &str = "full";
const OLD: &str = "old";
/// Page cache of the database, bytes: the probe is meant to be small.
const CACHE: usize = 1 << 20;
/// Observations committed together.
const TOGETHER: usize = 256;
/// Commands under way to the thread that owns the file.
const COMMANDS: usize = 512;

/// What the spool holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Observations not yet acknowledged.
    pub(crate) rows: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// Highest number given so far: it grows with each observation.
    pub(crate) last: u64,
    /// Why the last thing that was asked of the spool could not be done; `None`: it was done.
    pub(crate) failure: Option<String>,
    /// Observations dropped because the spool was full or could not be written.
    pub(crate) dropped: u64,
    /// Observations dropped because they were too old.
    pub(crate) expired: u64,
    /// When the oldest one was made, seconds since 1970.
    pub(crate) oldest: Option<i64>,
    /// Observations of each job.
    pub(crate) jobs: Arc<HashMap<Uuid, u64>>,
}

enum Command {
    Append(Box<v1::Observation>),
    After(u64, usize, oneshot::Sender<Vec<(u64, v1::Observation)>>),
    Forget(Vec<u64>, oneshot::Sender<()>),
    Check,
    Tasks(Uuid, oneshot::Sender<HashSet<u32>>),
    /// Drops what was observed before that second.
    Expire(i64),
    /// Nothing but a report.
    Report,
}

/// A handle to the spool. The file belongs to a thread of its own, because committing waits for the disk.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    commands: mpsc::Sender<Command>,
    held: watch::Receiver<Held>,
}

impl Spool {
    /// Opens the spool of a state directory. A damaged file is put aside, never deleted.
    pub(crate) fn open(state: &Path) -> anyhow::Result<Self> {
        let database = open(state)?;
        let held = count(&database).context("cannot read the spool")?;
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (news, watched) = watch::channel(held.clone());
        let report = report::Report::begin(state, &held);
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn({
                let state = state.to_owned();
                move || Owner { state, database: Some(database), held, news }.serve(inbox, report)
            })
            .context("cannot start the spool's thread")?;
        Ok(Self { commands, held: watched })
    }

    /// Puts an observation on the way to the disk. Waits only when the disk is behind.
    pub(crate) async fn append(&self, observation: v1::Observation) {
        if self.commands.send(Command::Append(Box::new(observation))).await.is_err() {
            tracing::error!("the spool has ended; an observation is lost");
        }
    }

    /// The oldest observations with a number above `number`.
    ///
    /// # Errors
    /// The disk fails; nothing is lost by that.
    pub(crate) async fn after(
        &self,
        number: u64,
        limit: usize,
    ) -> anyhow::Result<Vec<(u64, v1::Observation)>> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::After(number, limit, reply)).await.context("the spool has ended")?;
        answer.await.context("the spool cannot be read")
    }

    /// Forgets observations that the controller has committed.
    pub(crate) async fn forget(&self, numbers: Vec<u64>) {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Forget(numbers, reply)).await.is_ok() && answer.await.is_err() {
            tracing::warn!("acknowledged observations stay in the spool and will be handed in again");
        }
    }

    /// Has the disk written to. What comes of it is in [`Held::failure`].
    pub(crate) fn check(&self) {
        // Commands that wait tell as much.
        self.commands.try_send(Command::Check).ok();
    }

    /// The tasks of a job that are held.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) async fn tasks(&self, job: Uuid) -> anyhow::Result<HashSet<u32>> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Tasks(job, reply)).await.context("the spool has ended")?;
        answer.await.context("the spool cannot be read")
    }

    /// Drops what was observed before a time.
    pub(crate) async fn expire(&self, before: Result<jiff::Timestamp, jiff::Error>) {
        let Ok(before) = before.map(jiff::Timestamp::as_second) else { return };
        let is_due = self.held.borrow().oldest.is_some_and(|oldest| oldest < before);
        if is_due && self.commands.send(Command::Expire(before)).await.is_err() {
            tracing::error!("the spool has ended");
        }
    }

    /// Sees to it that a report of what is held is not old.
    pub(crate) fn report(&self) {
        // Where the disk is behind, a report follows anyway.
        self.commands.try_send(Command::Report).ok();
    }

    /// What is held, and news of it.
    pub(crate) fn held(&self) -> watch::Receiver<Held> {
        self.held.clone()
    }
}

fn open(state: &Path) -> anyhow::Result<Database> {
    let path = state.join(FILE);
    let create = || Database::builder().set_cache_size(CACHE).create(&path);
    let database = match create() {
        Ok(database) => database,
        Err(DatabaseError::DatabaseAlreadyOpen) => {
            anyhow::bail!("another sekisho-probe runs on the state directory {}", state.display())
        }
        Err(DatabaseError::Storage(redb::StorageError::Io(error)))
            if error.kind() != std::io::ErrorKind::InvalidData =>
        {
            return Err(error).with_context(|| format!("cannot open the spool {}", path.display()));
        }
        Err(error) => {
            let aside = state.join(format!("{FILE}.damaged-{}", jiff::Timestamp::now().as_second()));
            tracing::error!(%error, aside = %aside.display(), "the spool is damaged and is put aside");
            std::fs::rename(&path, &aside).with_context(|| format!("cannot put {} aside", path.display()))?;
            create().with_context(|| format!("cannot make the spool {}", path.display()))?
        }
    };
    let write = database.begin_write()?;
    write.open_table(TABLE)?;
    write.open_table(DROPPED)?;
    write.commit()?;
    Ok(database)
}

fn count(database: &Database) -> anyhow::Result<Held> {
    let mut held = Held::default();
    let mut jobs = HashMap::new();
    let read = database.begin_read()?;
    if let Ok(dropped) = read.open_table(DROPPED) {
        let count = |why| anyhow::Ok(dropped.get(why)?.map_or(0, |count| count.value()));
        (held.dropped, held.expired) = (count(FULL)?, count(OLD)?);
    }
    for row in read.open_table(TABLE)?.iter()? {
        let (number, bytes) = row?;
        if held.oldest.is_none() {
            held.oldest = time_of(bytes.value());
        }
        held.rows += 1;
        held.bytes += bytes.value().len() as u64;
        held.last = number.value();
        if let Some(job) = v1::Observation::decode(bytes.value()).ok().and_then(|o| job_of(&o)) {
            *jobs.entry(job).or_insert(0) += 1;
        }
    }
    held.jobs = Arc::new(jobs);
    Ok(held)
}

/// When an observation was made, seconds since 1970.
fn time_of(bytes: &[u8]) -> Option<i64> {
    v1::Observation::decode(bytes).ok()?.observed_at.map(|at| at.seconds)
}

fn job_of(observation: &v1::Observation) -> Option<Uuid> {
    Uuid::from_slice(&observation.job).ok()
}

/// Says of which tasks observations are, one line a job.
fn tell(what: &str, tasks: impl Iterator<Item = (Option<Uuid>, u32)>) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let mut jobs: BTreeMap<Uuid, Vec<u32>> = BTreeMap::new();
    for (job, task) in tasks {
        jobs.entry(job.unwrap_or_default()).or_default().push(task);
    }
    for (job, tasks) in jobs {
        tracing::debug!(%job, ?tasks, "{what}");
    }
}

/// The thread that owns the file.
struct Owner {
    state: PathBuf,
    /// `None` after a failure, until it is opened again: the library refuses a file that failed once.
    database: Option<Database>,
    held: Held,
    news: watch::Sender<Held>,
}

impl Owner {
    fn serve(mut self, mut inbox: mpsc::Receiver<Command>, mut report: report::Report) {
        let mut waiting = None;
        while let Some(command) = waiting.take().or_else(|| inbox.blocking_recv()) {
            let closed = self.database.is_none();
            if closed {
                self.reopen();
            }
            let done = match command {
                Command::Append(first) => {
                    let mut batch = vec![*first];
                    while batch.len() < TOGETHER {
                        match inbox.try_recv() {
                            Ok(Command::Append(next)) => batch.push(*next),
                            Ok(other) => {
                                waiting = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    let kept = self.append(&batch);
                    if kept.is_err() {
                        self.held.dropped += batch.len() as u64;
                    }
                    kept
                }
                Command::After(number, limit, reply) => self.after(number, limit).map(|found| {
                    // Whoever asked may be gone: the session ended.
                    reply.send(found).ok();
                }),
                Command::Forget(numbers, reply) => self.forget(&numbers).map(|()| {
                    reply.send(()).ok();
                }),
                Command::Check => self.check(),
                Command::Tasks(job, reply) => self.tasks(job).map(|tasks| {
                    reply.send(tasks).ok();
                }),
                Command::Expire(before) => self.expire(before),
                Command::Report => Ok(()),
            };
            // What closed it says more than that it is closed.
            let before = self.held.failure.take().filter(|_| closed);
            self.held.failure =
                done.as_ref().err().map(|error| before.unwrap_or_else(|| format!("{error:#}")));
            if let Err(error) = done {
                tracing::error!(%error, dropped = self.held.dropped, "the spool cannot be used: is the disk full?");
                self.database = None;
            }
            self.news.send_if_modified(|told| {
                let is_news = *told != self.held;
                told.clone_from(&self.held);
                is_news
            });
            report.write(&self.state, &self.held);
        }
    }

    /// Opens the file again after a failure. What it holds is counted anew.
    fn reopen(&mut self) {
        let opened = open(&self.state).and_then(|database| Ok((count(&database)?, database)));
        match opened {
            Ok((held, database)) => {
                let last = self.held.last.max(held.last);
                let (dropped, expired) =
                    (self.held.dropped.max(held.dropped), self.held.expired.max(held.expired));
                self.held = Held { last, dropped, expired, ..held };
                self.database = Some(database);
                tracing::info!(rows = self.held.rows, dropped, "the spool is open again");
            }
            Err(error) => tracing::debug!(%error, "the spool cannot be opened yet"),
        }
    }

    fn database(&self) -> anyhow::Result<&Database> {
        self.database.as_ref().context("the spool is closed after a failure")
    }

    fn append(&mut self, batch: &[v1::Observation]) -> anyhow::Result<()> {
        let mut held = self.held.clone();
        let mut jobs = (*held.jobs).clone();
        let write = self.database()?.begin_write()?;
        {
            let mut table = write.open_table(TABLE)?;
            for observation in batch {
                let bytes = observation.encode_to_vec();
                let size = bytes.len() as u64;
                if held.rows >= ROWS || held.bytes + size > BYTES {
                    held.dropped += 1;
                    continue;
                }
                held.last += 1;
                held.oldest = held.oldest.or_else(|| observation.observed_at.map(|at| at.seconds));
                table.insert(held.last, bytes.as_slice())?;
                held.rows += 1;
                held.bytes += size;
                if let Some(job) = job_of(observation) {
                    *jobs.entry(job).or_insert(0) += 1;
                }
            }
            write.open_table(DROPPED)?.insert(FULL, held.dropped)?;
        }
        write.commit()?;
        if held.dropped > self.held.dropped {
            tracing::error!(dropped = held.dropped, "the spool is full; observations are dropped");
        } else {
            tell("observations are in the spool", batch.iter().map(|of| (job_of(of), of.task)));
        }
        held.jobs = Arc::new(jobs);
        self.held = held;
        Ok(())
    }

    fn check(&self) -> anyhow::Result<()> {
        let write = self.database()?.begin_write()?;
        {
            let mut table = write.open_table(CHECK)?;
            let count = table.get(())?.map_or(0, |count| count.value());
            table.insert((), count.wrapping_add(1))?;
        }
        Ok(write.commit()?)
    }

    fn after(&self, number: u64, limit: usize) -> anyhow::Result<Vec<(u64, v1::Observation)>> {
        let mut found = Vec::new();
        for row in
            self.database()?.begin_read()?.open_table(TABLE)?.range(number.saturating_add(1)..)?.take(limit)
        {
            let (number, bytes) = row?;
            match v1::Observation::decode(bytes.value()) {
                Ok(observation) => found.push((number.value(), observation)),
                Err(error) => {
                    tracing::error!(%error, number = number.value(), "a row of the spool is damaged");
                }
            }
        }
        Ok(found)
    }

    fn tasks(&self, job: Uuid) -> anyhow::Result<HashSet<u32>> {
        let mut tasks = HashSet::new();
        if self.held.jobs.contains_key(&job) {
            for row in self.database()?.begin_read()?.open_table(TABLE)?.iter()? {
                let observation = v1::Observation::decode(row?.1.value()).ok();
                tasks.extend(observation.filter(|o| job_of(o) == Some(job)).map(|o| o.task));
            }
        }
        Ok(tasks)
    }

    fn expire(&mut self, before: i64) -> anyhow::Result<()> {
        let mut old = Vec::new();
        for row in self.database()?.begin_read()?.open_table(TABLE)?.iter()? {
            let (number, bytes) = row?;
            if time_of(bytes.value()).is_some_and(|at| at >= before) {
                break;
            }
            old.push(number.value());
        }
        if old.is_empty() {
            return Ok(());
        }
        let expired = self.held.expired + old.len() as u64;
        self.remove(&old, Some(expired))?;
        tracing::error!(dropped = old.len(), "observations that were too old to hand in are dropped");
        Ok(())
    }

    fn forget(&mut self, numbers: &[u64]) -> anyhow::Result<()> {
        self.remove(numbers, None)
    }

    /// Removes rows; where they were too old, with the count of all that were.
    fn remove(&mut self, numbers: &[u64], expired: Option<u64>) -> anyhow::Result<()> {
        let mut held = self.held.clone();
        let mut jobs = (*held.jobs).clone();
        let mut removed = Vec::new();
        let write = self.database()?.begin_write()?;
        {
            let mut table = write.open_table(TABLE)?;
            for number in numbers {
                let Some(bytes) = table.remove(*number)? else { continue };
                held.rows = held.rows.saturating_sub(1);
                held.bytes = held.bytes.saturating_sub(bytes.value().len() as u64);
                let Ok(observation) = v1::Observation::decode(bytes.value()) else { continue };
                let job = job_of(&observation);
                removed.push((job, observation.task));
                if let Some(job) = job
                    && let Some(count) = jobs.get_mut(&job)
                {
                    *count -= 1;
                    if *count == 0 {
                        jobs.remove(&job);
                    }
                }
            }
            held.oldest = table.first()?.and_then(|(_, bytes)| time_of(bytes.value()));
            if let Some(expired) = expired {
                held.expired = expired;
                write.open_table(DROPPED)?.insert(OLD, expired)?;
            }
        }
        if expired.is_none() {
            // Before they are gone: whoever reads the log after a crash knows of all that a controller has committed.
            tell("observations are committed by a controller", removed.into_iter());
        }
        write.commit()?;
        held.jobs = Arc::new(jobs);
        self.held = held;
        Ok(())
    }
}
