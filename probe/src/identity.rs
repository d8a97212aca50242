//! Who this probe is: its key, its certificate, and the controllers that it trusts. All in the state directory.

mod enrol;
pub(crate) mod signature;
mod tls;
mod token;

use std::{
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sekisho_proto::v1;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use enrol::enrol;
pub(crate) use tls::{connect, pinned, trusting};
pub use token::Token;

/// Key and certificate in one file, so that no crash leaves a pair that does not fit.
const IDENTITY: &str = "identity.pem";
const TRUST: &str = "trust.pem";
const PROBE: &str = "probe.toml";
/// Most CA certificates taken from a controller.
const CONTROLLERS: usize = 64;

/// What does not change from certificate to certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Number of the probe, given by the controller.
    pub id: Uuid,
    /// Name of the vantage.
    pub vantage: String,
    /// Controllers, `https://HOST:PORT`; tried in turn.
    pub controllers: Vec<String>,
}

/// An enrolled probe.
#[derive(Debug)]
pub struct Identity {
    state: PathBuf,
    /// What does not change.
    pub about: About,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) trust: Vec<CertificateDer<'static>>,
    /// Validity of the client certificate.
    pub valid: (Timestamp, Timestamp),
}

impl Identity {
    /// Reads the identity of a state directory.
    ///
    /// # Errors
    /// The probe is not enrolled, or a file is damaged; the message names it.
    pub fn read(state: &Path) -> anyhow::Result<Self> {
        let about = state.join(PROBE);
        if !about.exists() {
            bail!(
                "{} holds no enrolled probe; enrol it with `sekisho-probe enroll --state-dir {0}` and a token of \
                 `sekisho probe token`",
                state.display()
            );
        }
        let text = read(&about)?;
        let about: About =
            toml::from_str(&text).with_context(|| format!("{} is damaged", about.display()))?;
        let identity = state.join(IDENTITY);
        let pem = read(&identity)?;
        let damaged = || format!("{} is damaged; enrol the probe again", identity.display());
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).with_context(damaged)?;
        let chain = certificates(&pem).with_context(damaged)?;
        let leaf = chain.first().with_context(damaged)?;
        let valid = validity(leaf).with_context(damaged)?;
        let path = state.join(TRUST);
        let trust = certificates(&read(&path)?).with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Self { state: state.to_owned(), about, chain, key, trust, valid })
    }

    /// Writes an identity for the first time.
    fn create(
        state: &Path,
        about: &About,
        key: &rcgen::KeyPair,
        given: &v1::Certificate,
    ) -> anyhow::Result<()> {
        store_trust(state, &given.trust)?;
        store_identity(state, key, given)?;
        // Last, because its presence says that the probe is enrolled.
        write(&state.join(PROBE), toml::to_string(about)?.as_bytes())
    }

    /// When to ask for the next certificate: after two thirds of the validity, and after a day at the latest, so that much of it
    /// is left when the controllers are away.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        renew_at(self.valid)
    }

    /// A signing request for a fresh key of this probe.
    pub(crate) fn request() -> anyhow::Result<(rcgen::KeyPair, Vec<u8>)> {
        request()
    }

    /// Takes over a renewed certificate.
    pub(crate) fn renewed(&self, key: &rcgen::KeyPair, given: &v1::Certificate) -> anyhow::Result<Self> {
        store_trust(&self.state, &given.trust)?;
        store_identity(&self.state, key, given)?;
        Self::read(&self.state)
    }

    /// Takes over a changed set of controllers. Gives whether it changed.
    pub(crate) fn trust(&mut self, trust: &[Vec<u8>]) -> anyhow::Result<bool> {
        let new: Vec<CertificateDer<'static>> = trust.iter().cloned().map(CertificateDer::from).collect();
        if new.is_empty() || new == self.trust {
            return Ok(false);
        }
        store_trust(&self.state, trust)?;
        self.trust = new;
        Ok(true)
    }
}

fn renew_at((from, to): (Timestamp, Timestamp)) -> Timestamp {
    const DAY: i64 = 24 * 60 * 60;
    let two_thirds = (to.as_second() - from.as_second()) / 3 * 2;
    Timestamp::from_second(from.as_second() + two_thirds.min(DAY)).unwrap_or(from)
}

/// A fresh key and a signing request for it. The controller takes only the public key.
fn request() -> anyhow::Result<(rcgen::KeyPair, Vec<u8>)> {
    let key = rcgen::KeyPair::generate().context("cannot make a key")?;
    let params = rcgen::CertificateParams::default();
    let csr = params.serialize_request(&key).context("cannot make a signing request")?;
    Ok((key, csr.der().to_vec()))
}

fn store_identity(state: &Path, key: &rcgen::KeyPair, given: &v1::Certificate) -> anyhow::Result<()> {
    let leaf = given.chain.first().context("the controller gave no certificate")?;
    validity(&CertificateDer::from(leaf.clone())).context("the controller gave a damaged certificate")?;
    let pem = key.serialize_pem() + &to_pem(&given.chain);
    write(&state.join(IDENTITY), pem.as_bytes())
}

fn store_trust(state: &Path, trust: &[Vec<u8>]) -> anyhow::Result<()> {
    if trust.is_empty() || trust.len() > CONTROLLERS {
        bail!("the controller named {} CA certificates; from 1 to {CONTROLLERS} are taken", trust.len());
    }
    // Before anything is overwritten: a damaged certificate on disk would keep the probe out for ever.
    let mut roots = rustls::RootCertStore::empty();
    for certificate in trust {
        roots.add(certificate.clone().into()).context("the controller named a damaged CA certificate")?;
    }
    write(&state.join(TRUST), to_pem(trust).as_bytes())
}

fn to_pem(certificates: &[Vec<u8>]) -> String {
    use base64::Engine as _;
    certificates
        .iter()
        .map(|der| {
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            let lines: Vec<&str> =
                text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
        })
        .collect()
}

fn certificates(pem: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|e| anyhow::anyhow!("not PEM: {e}"))?;
    if found.is_empty() {
        bail!("no certificate in it");
    }
    Ok(found)
}

fn validity(certificate: &CertificateDer<'_>) -> anyhow::Result<(Timestamp, Timestamp)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).context("not a certificate")?;
    let validity = parsed.validity();
    Ok((
        Timestamp::from_second(validity.not_before.timestamp())?,
        Timestamp::from_second(validity.not_after.timestamp())?,
    ))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file whole or not at all, readable by nobody else.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .with_context(context)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(context)?;
    std::fs::rename(&new, path).with_context(context)?;
    let Some(directory) = path.parent() else { return Ok(()) };
    std::fs::File::open(directory).and_then(|d| d.sync_all()).with_context(context)
}

/// Makes the state directory, readable by nobody else.
pub(crate) fn create_state(state: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .with_context(|| format!("cannot make the state directory {}", state.display()))
}

/// The host name of this machine, for people.
pub(crate) fn host() -> String {
    nix::unistd::gethostname().map_or_else(|_| "unknown".into(), |n| n.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_while_much_of_it_is_left() {
        let hour = 3_600;
        for (validity, after) in
            [(30, 20), (24 * hour, 16 * hour), (36 * hour, 24 * hour), (7 * 24 * hour, 24 * hour)]
        {
            let at = |second| Timestamp::from_second(second).unwrap();
            assert_eq!(renew_at((at(1_000), at(1_000 + validity))), at(1_000 + after), "{validity}");
        }
    }
}
