//! Who this controller is: its certificate authority, and the TLS side of the fleet listener.
//!
//! Every controller has an authority of its own, made once in its data directory; the key never leaves it. Controllers
//! and probes trust the authorities of all controllers that are registered in the database, so controllers that share
//! a database work together without sharing a secret.

mod accept;
mod authority;
mod crowd;
mod pin;
mod server;
mod trust;
mod verifier;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::data_dir::{DataDir, DataDirError, make_private, sync_directory, write_private};

pub use accept::{Connection, Incoming, incoming};
pub use authority::{Authority, PROBE_VALIDITY};
pub use pin::{TokenText, pin};
pub use server::ServerIdentity;
pub use trust::Trust;
pub(crate) use trust::keep_server_certificate;
pub use verifier::ClientVerifier;

const KEY: &str = "ca.key";
const CERTIFICATE: &str = "ca.pem";
const ID: &str = "id";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of the identity is missing or cannot be read.
    #[error(
        "cannot read {path}, which is part of this controller's identity; restore the directory from a backup, or move it away to begin as a new controller (probes that trust only this one must then enrol again)"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the identity holds something else.
    #[error("{path} does not hold what it should: {said}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        said: String,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] DataDirError),
    /// It cannot be moved into place.
    #[error("cannot put the new identity in place at {path}")]
    Place {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The cryptography refused.
    #[error("cannot make a key or a certificate")]
    Crypto(#[from] rcgen::Error),
    /// TLS refused.
    #[error("cannot set TLS up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A controller's identity.
#[derive(Debug)]
pub struct Identity {
    /// Number of the controller.
    pub id: Uuid,
    /// Its certificate authority.
    pub authority: Authority,
}

impl Identity {
    /// Reads the identity of the data directory, or makes one where there is none.
    ///
    /// # Errors
    /// When it is incomplete or damaged: a new one is never made in its place.
    pub fn load_or_create(data: &DataDir) -> Result<Self, IdentityError> {
        let place = data.identity();
        if !place.exists() {
            create(&place)?;
        }
        let id = read(&place.join(ID))?;
        let id = id
            .trim()
            .parse()
            .map_err(|_| IdentityError::Content { path: place.join(ID), said: "it is no UUID".to_owned() })?;
        let authority = Authority::read(&read(&place.join(KEY))?, &read(&place.join(CERTIFICATE))?)
            .map_err(|said| IdentityError::Content { path: place.join(KEY), said })?;
        Ok(Self { id, authority })
    }
}

/// Made aside and moved into place, so that an identity is whole or not there.
fn create(place: &Path) -> Result<(), IdentityError> {
    let id = Uuid::new_v4();
    let (key, certificate) = Authority::generate(id)?;
    let aside = place.with_extension(format!("new-{id}"));
    make_private(&aside)?;
    write_private(&aside.join(KEY), key.as_bytes())?;
    write_private(&aside.join(CERTIFICATE), certificate.as_bytes())?;
    write_private(&aside.join(ID), format!("{id}\n").as_bytes())?;
    std::fs::rename(&aside, place)
        .map_err(|source| IdentityError::Place { path: place.to_owned(), source })?;
    place.parent().map_or(Ok(()), |parent| Ok(sync_directory(parent)?))
}

fn read(path: &Path) -> Result<String, IdentityError> {
    std::fs::read_to_string(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}
