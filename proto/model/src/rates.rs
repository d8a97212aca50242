//! How fast a probe goes unless its scope file says otherwise: the probe keeps to it, the controller reckons with it.

/// How fast a probe may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// New attempts per second to one target.
    pub per_target: u32,
    /// Attempts that one target may get at once after a quiet time.
    pub burst: u32,
    /// New attempts per second in total.
    pub total: u32,
    /// Attempts under way at the same time.
    pub concurrency: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { per_target: 50, burst: 100, total: 5_000, concurrency: 2_000 }
    }
}
