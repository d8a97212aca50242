//! How the store fails.

use std::{error::Error as StdError, fmt};

use crate::metrics::FAILURES;

/// A statement that failed, and what it was for.
#[derive(Debug)]
pub(crate) struct Error {
    operation: &'static str,
    source: sqlx::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in the database", self.operation)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

/// What the store returns.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The database is at another host, and nobody waits for what was asked of the first one.
    pub(crate) fn moved() -> Self {
        let moved =
            std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the database is at another host");
        Self { operation: "waiting for an answer", source: sqlx::Error::Io(moved) }
    }

    /// Whether the database is away, so that the same statement may work later.
    pub(crate) fn is_outage(&self) -> bool {
        // 08: connection, 53: resources, 57: operator intervention, 58: system; 40: lost a race and may try again.
        const CLASSES: [&str; 5] = ["08", "53", "57", "58", "40"];
        // A primary that has become a standby, or is being kept from writing: another one takes its place.
        const READ_ONLY: &str = "25006";
        if let sqlx::Error::Database(error) = &self.source {
            return error.code().is_some_and(|code| {
                code == READ_ONLY || CLASSES.iter().any(|class| code.starts_with(class))
            });
        }
        matches!(
            &self.source,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
        )
    }

    /// The constraint that a statement violated.
    pub(crate) fn constraint(&self) -> Option<&str> {
        self.source.as_database_error().and_then(|error| error.constraint())
    }

    /// A row that does not hold what the product writes.
    pub(crate) fn decode(operation: &'static str, error: impl StdError + Send + Sync + 'static) -> Self {
        Self { operation, source: sqlx::Error::Decode(Box::new(error)) }
    }
}

/// Says what a statement was for.
pub(crate) trait Named<T> {
    /// Adds the operation to the error, as in "reading the sweeps".
    fn named(self, operation: &'static str) -> Result<T>;
}

impl<T> Named<T> for std::result::Result<T, sqlx::Error> {
    fn named(self, operation: &'static str) -> Result<T> {
        self.map_err(|source| {
            let error = Error { operation, source };
            // A constraint that says no is an answer, not a failure.
            if error.constraint().is_none() {
                FAILURES.count(error.is_outage());
            }
            error
        })
    }
}
