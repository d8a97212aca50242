//! Which traces are recorded.

use sekisho_model::TraceId;
use serde::Deserialize;

/// Bits of a trace's number that are random, by W3C Trace Context.
const BITS: u32 = 56;

/// A part of the traces, decided by their numbers, so that every program that knows the part decides alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Sample {
    /// Traces whose random part is at least this.
    from: u64,
}

/// A number that is no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is a number from 0 (none) to 1 (all)")]
pub struct BadSample;

impl Sample {
    /// Every trace.
    pub const ALL: Self = Self { from: 0 };

    /// Whether this trace is recorded.
    pub(super) fn takes(self, trace: TraceId) -> bool {
        let random = trace.number() & ((1 << BITS) - 1);
        random >= u128::from(self.from)
    }
}

impl TryFrom<f64> for Sample {
    type Error = BadSample;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^56, which fits")]
    fn try_from(part: f64) -> Result<Self, Self::Error> {
        if !(0.0..=1.0).contains(&part) {
            return Err(BadSample);
        }
        let all = f64::from(BITS).exp2();
        Ok(Self { from: ((1.0 - part) * all).round() as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(random: u128) -> TraceId {
        TraceId::new(0xabcd << 96 | random).unwrap()
    }

    #[test]
    fn a_part_of_the_traces_is_taken() {
        let last = (1 << BITS) - 1;
        for (part, none, all) in
            [(0.0, last, None), (1.0, 0, Some(0)), (0.25, last / 4 * 3, Some(last / 4 * 3 + 3))]
        {
            let sample = Sample::try_from(part).unwrap();
            assert_eq!(sample.takes(trace(none)), part == 1.0, "{part}");
            if let Some(all) = all {
                assert!(sample.takes(trace(all)) && sample.takes(trace(last)), "{part}");
            }
        }
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Sample::try_from(bad), Err(BadSample));
        }
    }
}
