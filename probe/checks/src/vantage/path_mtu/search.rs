//! The largest size that passes: one that links often have, or else by halves.

/// What links carry: the least of IPv6 (RFC 8200 section 5), tunnels in round numbers, VXLAN (RFC 7348), PPPoE (RFC 2516),
/// Ethernet.
const LIKELY: [u32; 5] = [1_280, 1_400, 1_450, 1_492, 1_500];

/// A search between a size that passes and a larger one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    passes: u32,
    fails: u32,
}

impl Search {
    /// Begins. `passes` is less than `fails`, or else there is nothing to search.
    #[must_use]
    pub const fn new(passes: u32, fails: u32) -> Self {
        Self { passes, fails }
    }

    /// The size to try next; `None` when the largest that passes is found.
    #[must_use]
    pub const fn next(&self) -> Option<u32> {
        let between = self.fails.saturating_sub(self.passes);
        if between <= 1 { None } else { Some(self.passes.saturating_add(between.div_euclid(2))) }
    }

    /// Whether it is not known if the size passes.
    #[must_use]
    pub const fn is_open(&self, size: u32) -> bool {
        self.passes < size && size < self.fails
    }

    /// The sizes to try at first, all at once: `hint` and one octet more, or without one what links often have.
    #[must_use]
    pub fn first(&self, hint: Option<u32>) -> Vec<u32> {
        let sizes = hint.map_or_else(|| LIKELY.to_vec(), |hint| vec![hint, hint.saturating_add(1)]);
        sizes.into_iter().filter(|size| self.is_open(*size)).collect()
    }

    /// Takes what came of a try. A size that passes is proved; one that does not may have been lost by chance.
    pub const fn tried(&mut self, size: u32, passed: bool) {
        if passed && size > self.passes {
            self.passes = size;
        } else if !passed && size > self.passes && size < self.fails {
            self.fails = size;
        }
    }

    /// One octet more than what is known to pass, where that is open: it mostly ends a search that a first try has hit.
    #[must_use]
    pub const fn above(&self) -> Option<u32> {
        let above = self.passes.saturating_add(1);
        if self.is_open(above) { Some(above) } else { None }
    }

    /// The largest size that is known to pass.
    #[must_use]
    pub const fn passes(&self) -> u32 {
        self.passes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_the_largest_that_passes(low in 68_u32..1_000, above in 1_u32..9_000, at in 0.0_f64..1.0) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small number")]
            let truth = low + (f64::from(above - 1) * at) as u32;
            let mut search = Search::new(low, low + above);
            let mut tries = 0;
            while let Some(size) = search.next() {
                search.tried(size, size <= truth);
                tries += 1;
            }
            prop_assert_eq!(search.passes(), truth);
            prop_assert!(tries <= 14);
        }
    }

    #[test]
    fn a_good_guess_ends_the_search() {
        let mut search = Search::new(576, 1_500);
        assert_eq!(search.first(None), [1_280, 1_400, 1_450, 1_492]);
        assert_eq!(search.first(Some(1_499)), [1_499]);
        assert_eq!(search.first(Some(9_000)), [0; 0]);
        search.tried(1_400, false);
        search.tried(1_280, true);
        assert_eq!((search.above(), search.first(Some(1_280))), (Some(1_281), vec![1_281]));
        search.tried(1_281, false);
        assert_eq!((search.above(), search.next(), search.passes()), (None, None, 1_280));
    }

    #[test]
    fn what_passes_outweighs_what_seems_not_to() {
        let after = |tries: &[(u32, bool)]| {
            let mut search = Search::new(576, 1_500);
            for (size, passed) in tries {
                search.tried(*size, *passed);
            }
            (search.passes(), search.next())
        };
        assert_eq!(after(&[(1_400, true), (1_300, false), (1_280, true)]), (1_400, Some(1_450)));
        assert_eq!(after(&[(1_300, false), (1_400, true)]), (1_400, None));
    }

    #[test]
    fn there_may_be_nothing_to_search() {
        assert_eq!(Search::new(1_500, 1_500).next(), None);
        assert_eq!(Search::new(1_500, 100).next(), None);
    }
}
