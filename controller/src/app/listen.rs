//! The addresses that a controller listens on.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::anyhow;
use tokio::net::TcpListener;

use crate::config::Config;

/// The listeners, bound. Nobody serves on them yet: connections wait.
pub(super) struct Listeners {
    pub(super) fleet: TcpListener,
    pub(super) web: TcpListener,
    pub(super) fleet_address: SocketAddr,
    pub(super) web_address: SocketAddr,
    /// For numbers, where it is wanted.
    pub(super) metrics: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    pub(super) async fn bind(config: &Config) -> anyhow::Result<Self> {
        let (fleet, fleet_address) = bind(config.fleet_listen, "--fleet-listen").await?;
        let (web, web_address) = bind(config.web_listen, "--web-listen").await?;
        let metrics = match config.metrics_listen {
            Some(address) => Some(bind(address, "--metrics-listen").await?),
            None => None,
        };
        Ok(Self { fleet, web, fleet_address, web_address, metrics })
    }
}

async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let bound = match TcpListener::bind(address).await {
        Ok(listener) => listener.local_addr().map(|real| (listener, real)),
        Err(error) => Err(error),
    };
    bound.map_err(|error| {
        let kind = error.kind();
        let advice = if kind == io::ErrorKind::AddrInUse {
            format!(
                "another program uses it (find it with: ss -ltnp sport = :{}); stop that or choose another address with {option}",
                address.port()
            )
        } else if kind == io::ErrorKind::AddrNotAvailable {
            format!("this machine has no such address; choose one of its own with {option}")
        } else if kind == io::ErrorKind::PermissionDenied {
            format!(
                "ports below 1024 need a privilege that the controller gives up; choose a higher one with {option}"
            )
        } else {
            format!("choose another address with {option}")
        };
        anyhow!(error).context(format!("cannot listen on {address}: {advice}"))
    })
}

/// The address as a client on the same machine dials it.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let local: IpAddr =
        if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(local, address.port())
}
