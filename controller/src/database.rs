//! The database: an operator's own PostgreSQL, or a private one that the controller runs.

mod choice;
pub mod cluster;
mod follow;
mod hosts;
mod look;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::watch;

use crate::{config::DatabaseUrl, data_dir::DataDir};
use choice::{Present, choose};
use cluster::{Cluster, ClusterError};
use hosts::{Host, Hosts};
use look::Posts;

pub use follow::Standing;
pub use hosts::UrlError;

/// Connections of one controller, besides one to each host.
const POOL: u32 = 20;
/// How long a request waits for a connection before it fails.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long an operator's database may be away at the start.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two attempts to reach it.
const PAUSE: Duration = Duration::from_secs(1);

/// An open database whose migrations have run.
#[derive(Debug)]
pub struct Database {
    pool: PgPool,
    cluster: Option<Cluster>,
    standing: Option<watch::Receiver<Standing>>,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The private PostgreSQL.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The URL cannot be read. Its text is not repeated: it may hold a password.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Nobody answers, or not as hoped.
    #[error(
        "no database to work on for {} seconds: {faults}; check that PostgreSQL runs there and takes writes, and the \
         user, password and database name in --database-url",
        PATIENCE.as_secs()
    )]
    Unreachable {
        /// Each host and port, and what is wrong there.
        faults: String,
    },
    /// A migration failed.
    #[error("cannot bring the tables of the database up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Database {
    /// Opens the operator's database, or starts the private one, and brings its tables up to date.
    ///
    /// # Errors
    /// When there is no PostgreSQL to use; each text says what to do.
    pub async fn open(
        url: Option<&DatabaseUrl>,
        postgres_bin: Option<PathBuf>,
        data: &DataDir,
    ) -> Result<Self, DatabaseError> {
        let database = match url {
            Some(url) => Self::external(url).await?,
            None => {
                let cluster = Cluster::start(data.postgres(), postgres_bin).await?;
                let pool = pool().connect_lazy_with(named(cluster.connect_options()));
                Self { pool, cluster: Some(cluster), standing: None }
            }
        };
        crate::store::migrate(&database.pool).await?;
        Ok(database)
    }

    /// Waits until a host of the operator's database can be worked on, and follows it from there on.
    async fn external(url: &DatabaseUrl) -> Result<Self, DatabaseError> {
        let Hosts { list, ignored } = Hosts::parse(url.secret())?;
        if !ignored.is_empty() {
            tracing::warn!(
                parameters = ignored.join(", "),
                "unknown parameters of the database URL are ignored"
            );
        }
        let mut posts = Posts::new(list);
        let (host, present) = first(&mut posts).await?;
        tracing::info!(database = host.place, timeline = present.server.timeline, "working on the database");
        let (sender, standing) = watch::channel(Standing::new(&host, present));
        let pool = follow::guard(pool(), &standing).connect_lazy_with(options(&host));
        tokio::spawn(follow::follow(posts, pool.clone(), sender));
        Ok(Self { pool, cluster: None, standing: Some(standing) })
    }

    /// The connections.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Where the operator's database is; `None` for the private one.
    #[must_use]
    pub fn standing(&self) -> Option<watch::Receiver<Standing>> {
        self.standing.clone()
    }

    /// Whether the controller runs the database itself.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.cluster.is_some()
    }

    /// Closes the connections, then stops the private PostgreSQL.
    pub async fn close(self) {
        if tokio::time::timeout(ACQUIRE, self.pool.close()).await.is_err() {
            tracing::warn!("database connections are still in use; closing all the same");
        }
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}

fn pool() -> PgPoolOptions {
    PgPoolOptions::new().max_connections(POOL).acquire_timeout(ACQUIRE)
}

fn options(host: &Host) -> PgConnectOptions {
    named(host.options.clone())
}

fn named(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("sekisho")
}

/// Waits until a host can be worked on.
async fn first(posts: &mut Posts) -> Result<(Host, Present), DatabaseError> {
    let give_up = Instant::now() + PATIENCE;
    let mut told = String::new();
    loop {
        let mut answers = posts.look().await;
        let chosen = choose(None, &mut answers);
        if let Some((host, present)) = chosen.and_then(|p| posts.host(p.place).map(|host| (host.clone(), p)))
        {
            return Ok((host, present));
        }
        let faults = posts.explain(&answers, ToString::to_string);
        if Instant::now() >= give_up {
            return Err(DatabaseError::Unreachable { faults });
        }
        if faults != told {
            tracing::warn!(
                faults,
                seconds = PATIENCE.as_secs(),
                "cannot work on the database yet, trying again for a while"
            );
            told = faults;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
