//! Which alerts a channel is told of.

use super::{About, AlertKind};

/// What a channel wants to hear of. What is empty lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Kinds of alerts. `regression` stands for gaps with flows that were open before as well.
    pub kinds: Vec<AlertKind>,
    /// Sites, one of which a vantage of the alert has to be in.
    pub sites: Vec<String>,
    /// Fewest flows; of an alert that speaks of flows.
    pub min_flows: usize,
}

impl Filter {
    /// Whether the channel is told of an alert with `flows` flows, of vantages in `sites`.
    #[must_use]
    pub fn lets_through(&self, about: &About, flows: usize, sites: &[String]) -> bool {
        let is_regression = about.regressed > 0 && self.kinds.contains(&AlertKind::Regression);
        let kind = self.kinds.is_empty() || self.kinds.contains(&about.kind) || is_regression;
        let site = self.sites.is_empty() || sites.iter().any(|site| self.sites.contains(site));
        kind && site && (about.kind == AlertKind::LostVantage || flows >= self.min_flows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_condition_keeps_back() {
        let gap = About { regressed: 2, ..About::of(AlertKind::Gap) };
        let tokyo = ["tokyo".to_owned()];
        let kinds = |kinds: &[AlertKind]| Filter { kinds: kinds.to_vec(), ..Filter::default() };
        assert!(Filter::default().lets_through(&gap, 1, &[]));
        for (filter, through) in [
            (kinds(&[AlertKind::Gap]), true),
            (kinds(&[AlertKind::Regression]), true),
            (kinds(&[AlertKind::Exposure, AlertKind::LostVantage]), false),
            (Filter { sites: tokyo.to_vec(), ..Filter::default() }, true),
            (Filter { sites: vec!["osaka".to_owned()], ..Filter::default() }, false),
            (Filter { min_flows: 3, ..Filter::default() }, true),
            (Filter { min_flows: 4, ..Filter::default() }, false),
        ] {
            assert_eq!(filter.lets_through(&gap, 3, &tokyo), through, "{filter:?}");
        }
        let many = Filter { min_flows: 9, ..Filter::default() };
        assert!(many.lets_through(&About::of(AlertKind::LostVantage), 0, &[]));
        assert!(!kinds(&[AlertKind::Regression]).lets_through(&About::of(AlertKind::Gap), 3, &[]));
    }
}
