//! Where notices go. Who carries them is told at start: services know no network.

use std::{pin::Pin, sync::Arc};

use sekisho_domain::alert::Filter;

use super::{Notice, Services};

/// Where notices go, under the name that it has in the configuration.
#[derive(Clone)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// What it wants to hear of.
    pub filter: Filter,
    /// Who carries notices there.
    pub courier: Arc<dyn Courier>,
}

/// An attempt to deliver: it ends in bounded time, and says why it failed. The text must hold no secret.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Carries notices to one place.
pub trait Courier: Send + Sync {
    /// Tries to deliver a notice once.
    fn deliver<'a>(&'a self, notice: &'a Notice) -> Delivery<'a>;
}

impl Services {
    /// Says where notices go. What is said first counts.
    pub fn set_channels(&self, channels: Vec<Channel>) {
        // An error means that they were said already.
        drop(self.inner.channels.set(channels));
    }

    /// Where notices go.
    pub(crate) fn channels(&self) -> &[Channel] {
        self.inner.channels.get().map_or(&[], Vec::as_slice)
    }
}
