//! The largest size that passes, by halves.

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

    /// Takes what came of a try.
    pub const fn tried(&mut self, size: u32, passed: bool) {
        if passed {
            self.passes = size;
        } else {
            self.fails = size;
        }
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
        for (size, open) in [(576, false), (1_500, false), (1_501, false), (1_280, true)] {
            assert_eq!(search.is_open(size), open, "{size}");
        }
        search.tried(1_280, true);
        search.tried(1_281, false);
        assert_eq!((search.next(), search.passes()), (None, 1_280));
    }

    #[test]
    fn there_may_be_nothing_to_search() {
        assert_eq!(Search::new(1_500, 1_500).next(), None);
        assert_eq!(Search::new(1_500, 100).next(), None);
    }
}
