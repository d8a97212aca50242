//! The probe's own machine: see [`sekisho_checks::vantage::host`]. Nothing is sent, and nothing is changed.
//!
//! What only Windows has is not looked at: the active firewall profile with its rules, and pending renames or joins. This
//! probe runs on Linux.

mod clock;
mod firewall;
mod interfaces;
mod membership;

use sekisho_checks::vantage::host::{self as judged, Seen};

use super::{Means, Request, Verdict};
use crate::dns::Configuration;

pub(super) async fn check(_means: &Means, _request: &Request) -> Verdict {
    let firewall = firewall::read().await;
    let configuration = Configuration::read().unwrap_or_default();
    let name = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    let seen = Seen {
        full_name: membership::full_name(&name),
        name,
        interfaces: interfaces::all(),
        default: interfaces::default(),
        resolvers: configuration.servers,
        search: configuration.search,
        clock: clock::read(),
        time_services: clock::services(),
        firewall,
        membership: membership::found(),
        realm: membership::realm(),
    };
    let (status, facts) = judged::judge(&seen);
    Verdict { status, facts }
}
