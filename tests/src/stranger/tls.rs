//! The TLS side of strangers.

use std::{
    io,
    net::TcpStream,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivateKeyDer};

static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();

/// Makes the certificate, once.
pub(super) fn prepare() -> anyhow::Result<()> {
    if CONFIG.get().is_some() {
        return Ok(());
    }
    let made = rcgen::generate_simple_self_signed(["dc1.corp.example".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    CONFIG.get_or_init(|| Arc::new(config));
    Ok(())
}

fn connection() -> anyhow::Result<ServerConnection> {
    let config = CONFIG.get().context("no certificate was made")?;
    Ok(ServerConnection::new(config.clone())?)
}

/// The stream inside TLS. The handshake happens with the first octet that is read or written.
pub(super) fn accept(stream: TcpStream) -> anyhow::Result<StreamOwned<ServerConnection, TcpStream>> {
    Ok(StreamOwned::new(connection()?, stream))
}

/// The first flight of a server, in answer to a ClientHello; nothing if it is none.
pub(super) fn first_flight(hello: &[u8]) -> Vec<u8> {
    let answer = || -> anyhow::Result<Vec<u8>> {
        let (mut connection, mut out) = (connection()?, Vec::new());
        connection.read_tls(&mut io::Cursor::new(hello))?;
        connection.process_new_packets()?;
        while connection.wants_write() {
            connection.write_tls(&mut out)?;
        }
        Ok(out)
    };
    answer().unwrap_or_default()
}
