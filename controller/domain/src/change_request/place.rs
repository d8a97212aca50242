//! Where a rule belongs.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    attribution::{Between, Cause},
    gaps::Gap,
};

/// The device that blocks, as far as it is known: all `None` is somewhere on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Who refuses; where the target itself filters, the target.
    pub by: Option<IpAddr>,
    /// The devices on either side, where nobody says that it refuses.
    pub between: Option<Between>,
}

impl Place {
    /// Where a gap is blocked. Who refuses says more than how far packets get.
    #[must_use]
    pub fn of(gap: &Gap) -> Self {
        let by = if gap.cause == Cause::HostFilter { Some(gap.address) } else { gap.by };
        Self { by, between: gap.between.filter(|_| by.is_none()) }
    }

    /// The address of the last device that is known before the block, and of the first behind it.
    #[must_use]
    pub fn hops(self) -> (Option<IpAddr>, Option<IpAddr>) {
        self.between.map_or((None, None), |between| (between.last_hop, between.next_hop))
    }

    /// A name for files: `at-10-77-20-1`, `between-10-77-20-1-and-10-77-254-2`.
    #[must_use]
    pub fn slug(self) -> String {
        self.to_string().replace([' ', '.', ':'], "-")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.by, self.between) {
            (Some(by), _) => write!(f, "at {by}"),
            (None, Some(between)) => between.fmt(f),
            (None, None) => f.write_str("somewhere on the way"),
        }
    }
}
