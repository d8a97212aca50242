//! Numbers of jobs that are planned ahead. They say which job of which plan it is, at which vantage: so a job has the same
//! number whoever begins it, a controller or a probe by itself, and no row of it is needed before.

pub mod seats;

use crate::VantageId;

/// Version 8 (RFC 9562: of one's own making) and its variant. Jobs that are not planned ahead have version 7.
const MARK: u128 = 0x8000_8000_0000_0000_0000;
const MARKED: u128 = 0xf000_c000_0000_0000_0000;

/// What the number of a planned job says. As a UUID: 48 bits of the plan, 12 bits of the part, 62 bits of the vantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlannedId {
    plan: u64,
    part: u16,
    vantage: VantageId,
}

impl PlannedId {
    /// Highest number of a plan.
    pub const PLANS: u64 = (1 << 48) - 1;
    /// Most parts of a plan.
    pub const PARTS: u16 = 1 << 12;

    /// The number of a part of a plan at a vantage; `None` where one of them is too large.
    #[must_use]
    pub fn new(plan: u64, part: u16, vantage: VantageId) -> Option<Self> {
        (plan <= Self::PLANS && part < Self::PARTS && vantage.0 >= 0).then_some(Self { plan, part, vantage })
    }

    /// What a UUID says, if it is one of a planned job.
    #[must_use]
    pub fn of(uuid: u128) -> Option<Self> {
        if uuid & MARKED != MARK {
            return None;
        }
        let vantage = u32::try_from(uuid & ((1 << 62) - 1)).ok().and_then(|id| i32::try_from(id).ok())?;
        let plan = u64::try_from(uuid >> 80).ok()?;
        let part = u16::try_from((uuid >> 64) & 0x0fff).ok()?;
        Self::new(plan, part, VantageId(vantage))
    }

    /// As a UUID.
    #[must_use]
    pub fn uuid(self) -> u128 {
        let vantage = u32::try_from(self.vantage.0).unwrap_or(0);
        u128::from(self.plan) << 80 | u128::from(self.part) << 64 | MARK | u128::from(vantage)
    }

    /// As a UUID that is no job's: that of the reservations of a run that is planned ahead.
    #[must_use]
    pub fn of_run(run: u64) -> Option<u128> {
        const NO_VANTAGE: u128 = 1 << 61;
        (run <= Self::PLANS).then_some(u128::from(run) << 80 | MARK | NO_VANTAGE)
    }

    /// The plan.
    #[must_use]
    pub const fn plan(self) -> u64 {
        self.plan
    }

    /// The part of the plan.
    #[must_use]
    pub const fn part(self) -> u16 {
        self.part
    }

    /// The vantage.
    #[must_use]
    pub const fn vantage(self) -> VantageId {
        self.vantage
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_a_uuid_of_version_8() {
        let text = |plan, part, vantage| {
            format!("{:032x}", PlannedId::new(plan, part, VantageId(vantage)).unwrap().uuid())
        };
        assert_eq!(text(1, 2, 3), "00000000000180028000000000000003");
        assert_eq!(text(PlannedId::PLANS, 4_095, i32::MAX), "ffffffffffff8fff800000007fffffff");
        assert_eq!(PlannedId::new(1, PlannedId::PARTS, VantageId(1)), None);
        assert_eq!(PlannedId::new(PlannedId::PLANS + 1, 0, VantageId(1)), None);
        assert_eq!(PlannedId::new(1, 0, VantageId(-1)), None);
    }

    #[test]
    fn other_uuids_are_none() {
        // Versions 7 and 4, another variant, and a vantage that cannot be.
        for uuid in [
            0x0190_0000_0000_7000_8000_0000_0000_0001,
            0x0190_0000_0000_4000_8000_0000_0000_0001,
            0x0190_0000_0000_8000_c000_0000_0000_0001,
            0x0190_0000_0000_8000_8000_0001_0000_0001,
            0x0190_0000_0000_8000_8000_0000_8000_0001,
            0,
        ] {
            assert_eq!(PlannedId::of(uuid), None, "{uuid:032x}");
        }
    }

    #[test]
    fn the_reservations_of_a_run_are_no_job_s() {
        assert_eq!(PlannedId::of(PlannedId::of_run(7).unwrap()), None);
        assert_ne!(PlannedId::of_run(7), PlannedId::of_run(8));
        assert_eq!(PlannedId::of_run(PlannedId::PLANS + 1), None);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(plan in 0..=PlannedId::PLANS, part in 0..PlannedId::PARTS, vantage in 0..=i32::MAX) {
            let id = PlannedId::new(plan, part, VantageId(vantage)).unwrap();
            prop_assert_eq!(PlannedId::of(id.uuid()), Some(id));
        }

        #[test]
        fn a_uuid_is_of_one_job_or_of_none(uuid: u128) {
            if let Some(id) = PlannedId::of(uuid) {
                prop_assert_eq!(id.uuid(), uuid);
            }
        }
    }
}
