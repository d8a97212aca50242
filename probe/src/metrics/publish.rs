//! Where the numbers go.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::Metrics;
use crate::{scope::Scope, spool::Spool};

/// How often the file is written.
const EVERY: Duration = Duration::from_secs(15);
/// How long somebody who asks may take. Others wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest head of a request, bytes.
const HEAD: usize = 8 << 10;
/// Pause when the system has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the numbers are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doors {
    /// A file for node_exporter's textfile collector.
    pub(crate) file: Option<PathBuf>,
    /// A loopback address.
    pub(crate) listen: Option<SocketAddr>,
}

/// What the numbers are taken from.
struct Source {
    metrics: Metrics,
    spool: Spool,
    state: PathBuf,
}

impl Source {
    fn text(&self) -> io::Result<String> {
        let held = self.spool.held().borrow().clone();
        self.metrics.text(&held, &Scope::read(&self.state)).map_err(io::Error::other)
    }
}

/// Publishes the numbers wherever they are wanted, for as long as the result is waited for.
///
/// # Errors
/// At once, when an address cannot be listened on or the file cannot be written.
pub(crate) async fn publish(
    doors: Doors,
    metrics: Metrics,
    spool: Spool,
    state: &Path,
) -> anyhow::Result<impl Future<Output = ()>> {
    let source = Source { metrics, spool, state: state.to_owned() };
    let listener = match doors.listen {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.with_context(|| format!("cannot listen on {address}, which --metrics-listen names"))?)
        }
        None => None,
    };
    if let Some(file) = &doors.file {
        let written = source.text().and_then(|text| write(file, &text));
        written.with_context(|| format!("cannot write {}, which --metrics-file names", file.display()))?;
    }
    if let Some(address) = listener.as_ref().and_then(|listener| listener.local_addr().ok()) {
        tracing::info!(%address, "numbers are told to whoever asks there");
    }
    let file = doors.file.map(Written);
    Ok(async move {
        tokio::join!(keep(file, &source), answer(listener, &source));
    })
}

/// The file, which goes when nobody keeps it any more: numbers of a probe that has ended mean nothing.
struct Written(PathBuf);

impl Drop for Written {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, file = %self.0.display(), "the file of numbers stays");
        }
    }
}

async fn keep(file: Option<Written>, source: &Source) {
    let Some(Written(path)) = &file else { return };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        ticks.tick().await;
        match source.text().and_then(|text| write(path, &text)) {
            Ok(()) => failed = false,
            // Told of once: the next attempts come soon.
            Err(error) if !failed => {
                tracing::warn!(%error, file = %path.display(), "the file of numbers cannot be written");
                failed = true;
            }
            Err(_) => {}
        }
    }
}

/// Whoever reads sees the old text or the new one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let write = || {
        let mut file =
            std::fs::File::options().write(true).create(true).truncate(true).mode(0o644).open(&aside)?;
        // Another user collects it, whatever the umask is.
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&aside, path)
    };
    write().inspect_err(|_| {
        // Without it there is nothing to remove.
        std::fs::remove_file(&aside).ok();
    })
}

async fn answer(listener: Option<TcpListener>, source: &Source) {
    let Some(listener) = listener else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Who does not ask or read in time gets nothing.
                drop(timeout(PATIENCE, converse(stream, source)).await);
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection to the numbers");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, source: &Source) -> io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 1_024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        head.extend(piece.iter().take(read));
    }
    let (status, text) = if head.starts_with(b"GET /metrics ") {
        ("200 OK", source.text()?)
    } else {
        ("404 Not Found", "there is /metrics\n".to_owned())
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use sekisho_model::Outcome;

    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        metrics: Metrics,
        spool: Spool,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let spool = Spool::open(dir.path()).unwrap();
            Self { dir, metrics: Metrics::default(), spool }
        }

        async fn publish(&self, doors: Doors) -> anyhow::Result<impl Future<Output = ()>> {
            publish(doors, self.metrics.clone(), self.spool.clone(), self.dir.path()).await
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("sekisho.prom")
        }
    }

    async fn ask(address: SocketAddr, question: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(question.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_file_is_there_at_once_for_everybody_and_goes_with_the_probe() {
        let place = Place::new();
        place.metrics.observed(Outcome::Open);
        let session = place.metrics.session();
        let publishing = place.publish(Doors { file: Some(place.file()), listen: None }).await.unwrap();
        let text = std::fs::read_to_string(place.file()).unwrap();
        for line in [
            "sekisho_probe_session_open 1\n",
            "sekisho_probe_observations_total{outcome=\"open\"} 1\n",
            "sekisho_probe_scope_rules 0\n",
            "sekisho_probe_spool_usable 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert_eq!(std::fs::metadata(place.file()).unwrap().permissions().mode() & 0o777, 0o644);
        let names: Vec<_> =
            std::fs::read_dir(place.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().contains(".prom.")), "{names:?}");
        drop(session);
        let source = Source {
            metrics: place.metrics.clone(),
            spool: place.spool.clone(),
            state: place.dir.path().to_owned(),
        };
        assert!(source.text().unwrap().contains("sekisho_probe_session_open 0\n"));
        drop(publishing);
        assert!(!place.file().exists());
    }

    #[tokio::test]
    async fn numbers_are_told_on_request_and_nothing_else() {
        let place = Place::new();
        let address = {
            let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
            free.local_addr().unwrap()
        };
        let publishing = place.publish(Doors { file: None, listen: Some(address) }).await.unwrap();
        let asking = async {
            // Who says nothing keeps nobody waiting for ever, and who says too much is not listened to.
            let silent = TcpStream::connect(address).await.unwrap();
            drop(silent);
            let told = ask(address, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
            assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
            assert!(told.contains("sekisho_probe_build_info{version="), "{told}");
            let told = ask(address, "GET / HTTP/1.1\r\n\r\n").await;
            assert!(told.starts_with("HTTP/1.1 404 "), "{told}");
            let told = ask(address, &"x".repeat(HEAD)).await;
            assert!(told.starts_with("HTTP/1.1 404 "), "{told}");
        };
        tokio::select! {
            () = publishing => unreachable!("it publishes for ever"),
            () = asking => {}
        }
    }

    #[tokio::test]
    async fn what_cannot_be_published_is_told_at_once() {
        let place = Place::new();
        let file = place.dir.path().join("no/such/folder.prom");
        let refused = place.publish(Doors { file: Some(file), listen: None }).await.err().unwrap();
        assert!(refused.to_string().contains("--metrics-file"), "{refused}");
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = Some(taken.local_addr().unwrap());
        let refused = place.publish(Doors { file: None, listen }).await.err().unwrap();
        assert!(refused.to_string().contains("--metrics-listen"), "{refused}");
    }
}
