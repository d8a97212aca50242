//! No answer is waited for for ever.

use std::{io, pin::Pin, time::Duration};

use super::Error;

/// Work that takes longer waits for an answer that does not come. A controller whose rounds stand still for so long has not
/// been alive for a while, as `/healthz` says.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does work, and gives it up when the database says nothing: a connection that some device on the way has forgotten is silent
/// for ever, and the driver waits as long.
///
/// # Errors
/// Those of the work, and [`Error::Unavailable`].
pub(crate) fn in_time<'a, T: 'a, E: From<Error> + 'a>(
    work: impl Future<Output = Result<T, E>> + Send + 'a,
) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>> {
    Box::pin(within(PATIENCE, work))
}

async fn within<T, E: From<Error>>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let silent = io::Error::new(io::ErrorKind::TimedOut, "the database does not answer");
    let done = tokio::time::timeout(patience, work).await;
    done.unwrap_or_else(|_| Err(Error::Unavailable(Box::new(silent)).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_never_answered_counts_as_an_outage() {
        let silence = std::future::pending::<Result<(), Error>>();
        assert!(matches!(within(Duration::from_millis(1), silence).await, Err(Error::Unavailable(_))));
        assert!(matches!(in_time(async { Ok::<_, Error>(1) }).await, Ok(1)));
    }
}
