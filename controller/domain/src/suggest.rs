//! Policies drafted from what a sweep found: few, readable, and true to it.
//!
//! An allow policy is drafted for what was open, and where that is asked for a deny policy for what was blocked. **A draft
//! speaks of no flow of the sweep that was otherwise**, or that is not known: held against the same sweep it has no gap and
//! no exposure. There are never more drafts of a kind than pairs of a vantage and a target. In three steps:
//!
//! 1. For each vantage: what all targets of a domain have in common goes to `to.domain`, what is left to `to.target`; each
//!    target by itself where that is shorter.
//! 2. What several vantages have alike goes to one draft, if there is a selector of the inventory that they fit: a label,
//!    the site, a subnet around theirs, all of them. Every vantage of the inventory that fits it must have at least that; one
//!    that was not swept has nothing. The selector of most vantages comes first, as long as it adds some.
//! 3. Services that are just those of a profile go by its name.

mod place;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{BuiltIn, Cell, Service};
use serde::{Deserialize, Serialize};

use crate::{
    Inventory,
    baseline::intended,
    inventory::{Coverage, Expectation, Name},
    policy::Domains,
    profile,
};

use place::{From, Target, To};

/// A policy that is suggested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Its name, which no policy of the inventory has.
    pub name: String,
    /// Which vantages.
    pub from: BTreeMap<String, String>,
    /// Which targets.
    pub to: BTreeMap<String, String>,
    /// The profile whose services it speaks of, where it is one.
    pub profile: Option<String>,
    /// The services that it speaks of, where they are not those of a profile.
    pub services: Vec<Service>,
    /// What it expects.
    pub expect: Expectation,
    /// The vantages that it fits.
    pub vantages: Vec<String>,
}

/// What is suggested.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The drafts, allow before deny.
    pub policies: Vec<Draft>,
    /// Flows that no draft speaks of because nothing is known of them.
    pub not_known: usize,
    /// Flows that no policy can name: of a vantage that is not in the inventory, or of one of two targets that share names.
    pub left_out: usize,
}

/// What came of the flows of a pair: open, blocked, or `None` where that is not known.
type Services = BTreeMap<Service, Option<Expectation>>;
type Swept<'a> = BTreeMap<&'a str, BTreeMap<Target<'a>, Services>>;

/// A draft before it has vantages: where to, and which services.
type Rule = (To, BTreeSet<Service>);

/// Drafts policies from the flows of a sweep or a baseline; with `deny` also for what was blocked.
#[must_use]
pub fn suggest(cells: &[Cell], inventory: &Inventory, domains: &Domains, deny: bool) -> Suggestion {
    let mut swept = swept(cells);
    let known: BTreeSet<&str> = inventory.vantages.iter().map(|vantage| vantage.name.as_str()).collect();
    let mut suggestion = Suggestion::default();
    swept.retain(|vantage, targets| {
        let is_known = known.contains(vantage);
        if !is_known {
            let flows = targets.values().map(BTreeMap::len).sum();
            suggestion.left_out = suggestion.left_out.saturating_add(flows);
        }
        is_known
    });
    suggestion.not_known = swept
        .values()
        .flat_map(BTreeMap::values)
        .flat_map(BTreeMap::values)
        .filter(|fate| fate.is_none())
        .count();
    let mut names: BTreeSet<String> =
        inventory.policies.iter().map(|policy| policy.name.to_string()).collect();
    let kinds = [Expectation::Allow, Expectation::Deny];
    for expect in kinds.into_iter().filter(|kind| deny || *kind == Expectation::Allow) {
        let drafter = Drafter { inventory, domains, swept: &swept, expect };
        let (rules, left_out) = drafter.rules();
        suggestion.left_out = suggestion.left_out.saturating_add(left_out);
        for ((to, services), vantages) in rules {
            for from in drafter.selectors(&to, &services, &vantages) {
                suggestion.policies.push(drafter.draft(from, &to, &services, &mut names));
            }
        }
    }
    suggestion
}

/// A flow that the sweep has twice is known only where both say the same.
fn swept(cells: &[Cell]) -> Swept<'_> {
    let mut swept = Swept::new();
    for cell in cells {
        let fate = intended(cell.outcome)
            .map(|outcome| if outcome.is_blocked() { Expectation::Deny } else { Expectation::Allow });
        let services = swept.entry(cell.vantage.as_str()).or_default().entry(Target::of(cell)).or_default();
        let known = services.entry(cell.service).or_insert(fate);
        if *known != fate {
            *known = None;
        }
    }
    swept
}

struct Drafter<'a> {
    inventory: &'a Inventory,
    domains: &'a Domains,
    swept: &'a Swept<'a>,
    expect: Expectation,
}

impl Drafter<'_> {
    /// The rules of all vantages with those who have them, and how many flows no rule can name.
    fn rules(&self) -> (BTreeMap<Rule, BTreeSet<&str>>, usize) {
        let mut rules: BTreeMap<Rule, BTreeSet<&str>> = BTreeMap::new();
        let mut left_out = 0_usize;
        for (vantage, targets) in self.swept {
            let (of_vantage, missing) = self.rules_of(targets);
            left_out = left_out.saturating_add(missing);
            for rule in of_vantage {
                rules.entry(rule).or_default().insert(vantage);
            }
        }
        (rules, left_out)
    }

    /// Step 1.
    fn rules_of(&self, targets: &BTreeMap<Target<'_>, Services>) -> (Vec<Rule>, usize) {
        let mut rules = Vec::new();
        let mut left_out = 0_usize;
        let mut rest: BTreeSet<&Target<'_>> = targets.keys().collect();
        for domain in &self.inventory.domains {
            let to = To::Domain(domain.name.to_string());
            let common = self.common(&to, targets);
            let of_domain: Vec<&Target<'_>> =
                rest.iter().copied().filter(|target| to.fits(target, self.domains)).collect();
            let one_by_one =
                of_domain.iter().filter(|target| !self.wanted(targets, target).is_empty()).count();
            let beyond = |target: &&&Target<'_>| !self.wanted(targets, target).is_subset(&common);
            let together = of_domain.iter().filter(beyond).count().saturating_add(1);
            if common.is_empty() || together > one_by_one || !to.is_expressible() {
                continue;
            }
            for target in of_domain {
                rest.remove(target);
                left_out = left_out.saturating_add(self.single(target, targets, &common, &mut rules));
            }
            rules.push((to, common));
        }
        for target in rest {
            left_out = left_out.saturating_add(self.single(target, targets, &BTreeSet::new(), &mut rules));
        }
        (rules, left_out)
    }

    /// The rule of one target for what is not `covered`; returns how many flows it cannot name.
    fn single(
        &self,
        target: &Target<'_>,
        targets: &BTreeMap<Target<'_>, Services>,
        covered: &BTreeSet<Service>,
        rules: &mut Vec<Rule>,
    ) -> usize {
        let missing: BTreeSet<Service> = self.wanted(targets, target).difference(covered).copied().collect();
        // The address where the name is not its own, or too long for a policy.
        let nameable = |to: &To| -> BTreeSet<Service> {
            if to.is_expressible() { &self.common(to, targets) & &missing } else { BTreeSet::new() }
        };
        let choices = target.selectors().map(|to| (nameable(&to), to));
        let best = choices.into_iter().rev().max_by_key(|(services, _)| services.len());
        let Some((services, to)) = best else { return missing.len() };
        let left_out = missing.len().saturating_sub(services.len());
        if !services.is_empty() {
            rules.push((to, services));
        }
        left_out
    }

    /// Services of a target that are as expected.
    fn wanted(&self, targets: &BTreeMap<Target<'_>, Services>, target: &Target<'_>) -> BTreeSet<Service> {
        let services = targets.get(target).into_iter().flatten();
        services.filter(|(_, fate)| **fate == Some(self.expect)).map(|(service, _)| *service).collect()
    }

    /// Services that are as expected on every target that fits.
    fn common(&self, to: &To, targets: &BTreeMap<Target<'_>, Services>) -> BTreeSet<Service> {
        let fitting = targets.keys().filter(|target| to.fits(target, self.domains));
        let wanted = fitting.map(|target| self.wanted(targets, target));
        wanted.reduce(|common, services| &common & &services).unwrap_or_default()
    }

    /// Step 2: selectors that fit all of `vantages` together, and no vantage that has less.
    fn selectors(&self, to: &To, services: &BTreeSet<Service>, vantages: &BTreeSet<&str>) -> Vec<From> {
        let have = self.swept.iter().filter(|(_, targets)| services.is_subset(&self.common(to, targets)));
        let have: BTreeSet<&str> = have.map(|(vantage, _)| *vantage).collect();
        let mut uncovered = vantages.clone();
        let mut candidates = place::candidates(self.inventory, vantages);
        candidates.retain(|from| from.vantages.iter().all(|vantage| have.contains(vantage.as_str())));
        let mut chosen = Vec::new();
        while !uncovered.is_empty() {
            let adds =
                |from: &From| from.vantages.iter().filter(|name| uncovered.contains(name.as_str())).count();
            // The order of the candidates decides among equals.
            let best = candidates.iter().rev().max_by_key(|from| adds(from)).filter(|from| adds(from) > 0);
            let Some(best) = best else { break };
            for vantage in &best.vantages {
                uncovered.remove(vantage.as_str());
            }
            chosen.push(best.clone());
        }
        chosen
    }

    /// Step 3.
    fn draft(
        &self,
        from: From,
        to: &To,
        services: &BTreeSet<Service>,
        names: &mut BTreeSet<String>,
    ) -> Draft {
        let coverage = self.coverage(services);
        let (profile, services) = match coverage {
            Coverage::Profile(name) => (Some(name.to_string()), Vec::new()),
            Coverage::Services(services) => (None, services),
        };
        let name = text::name(self.expect, &from.conditions, &to.conditions(), names);
        names.insert(name.clone());
        Draft {
            name,
            from: from.conditions,
            to: to.conditions(),
            profile,
            services,
            expect: self.expect,
            vantages: from.vantages.into_iter().collect(),
        }
    }

    fn coverage(&self, services: &BTreeSet<Service>) -> Coverage {
        let own = self.inventory.profiles.iter().map(|profile| profile.name.to_string());
        let names = BuiltIn::ALL.map(|profile| profile.name().to_owned()).into_iter().chain(own);
        let is_same = |name: &String| {
            let contents = profile::contents(name, &self.inventory.profiles).ok();
            contents
                .is_some_and(|contents| contents.services.into_iter().collect::<BTreeSet<_>>() == *services)
        };
        let profile: Option<Name> = names.into_iter().find(is_same).and_then(|name| name.parse().ok());
        profile.map_or_else(|| Coverage::Services(services.iter().copied().collect()), Coverage::Profile)
    }
}
