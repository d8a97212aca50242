//! TCP_INFO: what the kernel knows of a connection (linux/tcp.h, `struct tcp_info`).

use std::os::fd::AsRawFd;

use nix::libc;

/// The part of the structure that Linux has had since 4.6. An older one fills in less, and the rest stays zero.
const LENGTH: usize = 148;
/// Segments that were sent and not acknowledged.
const UNACKED: std::ops::Range<usize> = 24..28;
/// Smoothed round trip, microseconds.
const RTT: std::ops::Range<usize> = 68..72;

/// Bytes that wait to be sent, because the peer's window is closed.
const NOT_SENT: std::ops::Range<usize> = 144..148;

/// What is read of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    /// Segments that were sent and not acknowledged.
    pub(crate) unacked: u32,
    /// Smoothed round trip, microseconds; 0 before the first.
    pub(crate) rtt_us: u32,
    /// Bytes that wait to be sent.
    pub(crate) not_sent: u32,
}

impl Info {
    /// Of a TCP socket.
    pub(crate) fn of(socket: &impl AsRawFd) -> Option<Self> {
        let mut info = [0_u8; LENGTH];
        let mut length = libc::socklen_t::try_from(LENGTH).ok()?;
        #[allow(unsafe_code, reason = "no library of this project reads TCP_INFO")]
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
        let number =
            |place| Some(u32::from_ne_bytes(info.get::<std::ops::Range<usize>>(place)?.try_into().ok()?));
        (result == 0).then_some(Self {
            unacked: number(UNACKED)?,
            rtt_us: number(RTT)?,
            not_sent: number(NOT_SENT)?,
        })
    }
}
