//! TCP_INFO: what the kernel knows of a connection (linux/tcp.h, `struct tcp_info`).

use std::os::fd::AsRawFd;

use nix::libc;

/// The part of the structure that Linux has had since 4.6. An older one fills in less, and the rest stays zero.
const LENGTH: usize = 148;
/// Options of the handshake, one octet.
const OPTIONS: usize = 5;
/// Numbers of four octets.
const SENT_MSS: usize = 16;
const UNACKED: usize = 24;
const ROUTE_MTU: usize = 60;
const RTT: usize = 68;
const ADVERTISED_MSS: usize = 84;
const NOT_SENT: usize = 144;
/// TCPI_OPT_TIMESTAMPS.
const TIMESTAMPS: u8 = 1;

/// What is read of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    /// Segments carry timestamps (RFC 7323).
    pub(crate) timestamps: bool,
    /// Largest segment that is sent, octets without headers and options.
    pub(crate) sent_mss: u32,
    /// Segments that were sent and not acknowledged.
    pub(crate) unacked: u32,
    /// What the route to the peer carries, octets of a packet, as far as the kernel has learned.
    pub(crate) route_mtu: u32,
    /// Smoothed round trip, microseconds; 0 before the first.
    pub(crate) rtt_us: u32,
    /// Largest segment that the peer was told to send, octets without headers.
    pub(crate) advertised_mss: u32,
    /// Bytes that wait to be sent, because the peer's window is closed.
    pub(crate) not_sent: u32,
}

impl Info {
    /// Of a TCP socket.
    pub(crate) fn of(socket: &impl AsRawFd) -> Option<Self> {
        let mut info = [0_u8; LENGTH];
        let mut length = libc::socklen_t::try_from(LENGTH).ok()?;
        #[allow(unsafe_code, reason = "no library of this project reads all of TCP_INFO")]
        // SAFETY: the kernel writes at most `length` bytes into `info`, which is that long; both outlive the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let number = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
        (result == 0).then_some(Self {
            timestamps: info.get(OPTIONS)? & TIMESTAMPS != 0,
            sent_mss: number(SENT_MSS)?,
            unacked: number(UNACKED)?,
            route_mtu: number(ROUTE_MTU)?,
            rtt_us: number(RTT)?,
            advertised_mss: number(ADVERTISED_MSS)?,
            not_sent: number(NOT_SENT)?,
        })
    }
}
