//! What this probe is allowed to touch, as the runner asks it: before the first packet to a port of an address.

use std::{fmt, net::IpAddr, sync::Arc};

use sekisho_model::Transport;

use crate::scope::Scope;

/// Asked before anything is sent. An operator at the command line may do everything; a job does what the local scope file
/// allows.
#[derive(Clone)]
pub struct Gate(Option<Arc<Scope>>);

impl Gate {
    /// Everything is allowed.
    #[must_use]
    pub const fn open() -> Self {
        Self(None)
    }

    /// What a scope file allows.
    #[must_use]
    pub fn of(scope: Scope) -> Self {
        Self(Some(Arc::new(scope)))
    }

    /// Whether a port of an address may be touched; the reason if not.
    ///
    /// # Errors
    /// What forbids it, in words.
    pub fn permit(&self, address: IpAddr, transport: Transport, port: Option<u16>) -> Result<(), String> {
        match &self.0 {
            None => Ok(()),
            Some(scope) => scope.permit_port(address, transport, port),
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Gate(scope file)" } else { "Gate(open)" })
    }
}
