//! Observations on disk until the controller has committed them.
//!
//! One file of `redb`, every batch of observations one committed transaction. Bounded in rows and bytes: what comes when
//! it is full is dropped and counted, and its task ends as missed. The oldest observations are kept, because they are
//! the ones that nobody can make again.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
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
    /// Observations dropped because the spool was full or failed, since the start of the process.
    pub(crate) dropped: u64,
    /// Observations of each job.
    pub(crate) jobs: Arc<HashMap<Uuid, u64>>,
}

enum Command {
    Append(Box<v1::Observation>),
    After(u64, usize, oneshot::Sender<Vec<(u64, v1::Observation)>>),
    Forget(Vec<u64>, oneshot::Sender<()>),
    Check,
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
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn({
                let state = state.to_owned();
                move || Owner { state, database: Some(database), held, news }.serve(inbox)
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
    write.commit()?;
    Ok(database)
}

fn count(database: &Database) -> anyhow::Result<Held> {
    let mut held = Held::default();
    let mut jobs = HashMap::new();
    for row in database.begin_read()?.open_table(TABLE)?.iter()? {
        let (number, bytes) = row?;
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

fn job_of(observation: &v1::Observation) -> Option<Uuid> {
    Uuid::from_slice(&observation.job).ok()
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
    fn serve(mut self, mut inbox: mpsc::Receiver<Command>) {
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
            };
            // What closed it says more than that it is closed.
            let before = self.held.failure.take().filter(|_| closed);
            self.held.failure =
                done.as_ref().err().map(|error| before.unwrap_or_else(|| format!("{error:#}")));
            if let Err(error) = done {
                tracing::error!(%error, dropped = self.held.dropped, "the spool cannot be used: is the disk full?");
                self.database = None;
            }
            self.news.send_replace(self.held.clone());
        }
    }

    /// Opens the file again after a failure. What it holds is counted anew.
    fn reopen(&mut self) {
        let opened = open(&self.state).and_then(|database| Ok((count(&database)?, database)));
        match opened {
            Ok((held, database)) => {
                let (last, dropped) = (self.held.last.max(held.last), self.held.dropped);
                self.held = Held { last, dropped, ..held };
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
                table.insert(held.last, bytes.as_slice())?;
                held.rows += 1;
                held.bytes += size;
                if let Some(job) = job_of(observation) {
                    *jobs.entry(job).or_insert(0) += 1;
                }
            }
        }
        write.commit()?;
        if held.dropped > self.held.dropped {
            tracing::error!(dropped = held.dropped, "the spool is full; observations are dropped");
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

    fn forget(&mut self, numbers: &[u64]) -> anyhow::Result<()> {
        let mut held = self.held.clone();
        let mut jobs = (*held.jobs).clone();
        let write = self.database()?.begin_write()?;
        {
            let mut table = write.open_table(TABLE)?;
            for number in numbers {
                let Some(bytes) = table.remove(*number)? else { continue };
                held.rows = held.rows.saturating_sub(1);
                held.bytes = held.bytes.saturating_sub(bytes.value().len() as u64);
                let job = v1::Observation::decode(bytes.value()).ok().and_then(|o| job_of(&o));
                if let Some(job) = job
                    && let Some(count) = jobs.get_mut(&job)
                {
                    *count -= 1;
                    if *count == 0 {
                        jobs.remove(&job);
                    }
                }
            }
        }
        write.commit()?;
        held.jobs = Arc::new(jobs);
        self.held = held;
        Ok(())
    }
}
