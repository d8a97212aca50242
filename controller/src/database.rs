//! The database: an operator's own PostgreSQL, or a private one that the controller runs.

pub mod cluster;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use sqlx::{
    Connection, PgPool,
    postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
};

use crate::{config::DatabaseUrl, data_dir::DataDir};
use cluster::{Cluster, ClusterError};

/// Connections of one controller.
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
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The private PostgreSQL.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The URL cannot be read. Its text is not repeated: it may hold a password.
    #[error("the database URL is not usable; it looks like postgres://USER:PASSWORD@HOST:5432/DATABASE")]
    Url(#[source] sqlx::Error),
    /// Nobody answers, or not as hoped.
    #[error("cannot reach the database {place} for {} seconds; check that PostgreSQL runs there, and the user, password and database name in --database-url", PATIENCE.as_secs())]
    Unreachable {
        /// Host, port and database, without the password.
        place: String,
        /// The last failure.
        source: sqlx::Error,
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
        let (options, cluster) = match url {
            Some(url) => (external(url).await?, None),
            None => {
                let cluster = Cluster::start(data.postgres(), postgres_bin).await?;
                (cluster.connect_options(), Some(cluster))
            }
        };
        let pool = PgPoolOptions::new()
            .max_connections(POOL)
            .acquire_timeout(ACQUIRE)
            .connect_lazy_with(options.application_name("sekisho"));
        crate::store::migrate(&pool).await?;
        Ok(Self { pool, cluster })
    }

    /// The connections.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
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

/// Waits until the operator's database answers.
async fn external(url: &DatabaseUrl) -> Result<PgConnectOptions, DatabaseError> {
    let options: PgConnectOptions = url.secret().parse().map_err(DatabaseError::Url)?;
    let place = url.place();
    let give_up = Instant::now() + PATIENCE;
    loop {
        let attempt = tokio::time::timeout(ACQUIRE, PgConnection::connect_with(&options)).await;
        let error = match attempt {
            Ok(Ok(connection)) => {
                if let Err(error) = connection.close().await {
                    tracing::debug!(%error, "closing the first connection");
                }
                return Ok(options);
            }
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        if Instant::now() >= give_up {
            return Err(DatabaseError::Unreachable { place, source: error });
        }
        tracing::warn!(database = %place, %error, "cannot reach the database yet, trying again");
        tokio::time::sleep(PAUSE).await;
    }
}
