//! What one inventory changes against another.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::inventory::{Entry, Inventory};

/// How an entry changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It comes in.
    Added,
    /// It stays and fields of it change.
    Changed,
    /// It goes.
    Removed,
}

/// One entry that changes. Prints as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// How it changes.
    pub kind: ChangeKind,
    /// `domain`, `target`, `computer`, `vantage`, `profile`, `policy` or `schedule`.
    pub noun: String,
    /// Its name.
    pub name: String,
    /// The fields that change, or that it comes in with.
    pub fields: Vec<FieldChange>,
}

/// One field that changes. `None` is a field that is not set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Name of the field in the inventory file.
    pub field: String,
    /// What it was.
    pub from: Option<String>,
    /// What it becomes.
    pub to: Option<String>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
        };
        write!(f, "{sign} {} {}", self.noun, self.name)?;
        for (position, field) in self.fields.iter().enumerate() {
            f.write_str(if position == 0 { ": " } else { ", " })?;
            let to = field.to.as_deref().unwrap_or("none");
            match self.kind {
                ChangeKind::Added => write!(f, "{} {to}", field.field)?,
                ChangeKind::Changed | ChangeKind::Removed => {
                    write!(f, "{} {} -> {to}", field.field, field.from.as_deref().unwrap_or("none"))?;
                }
            }
        }
        Ok(())
    }
}

/// What has to change so that `old` becomes `new`: nothing when they are equal.
#[must_use]
pub fn diff(old: &Inventory, new: &Inventory) -> Vec<Change> {
    let mut changes = entries(&old.domains, &new.domains);
    changes.extend(entries(&old.targets, &new.targets));
    changes.extend(entries(&old.computers, &new.computers));
    changes.extend(entries(&old.vantages, &new.vantages));
    changes.extend(entries(&old.profiles, &new.profiles));
    changes.extend(entries(&old.policies, &new.policies));
    changes.extend(policy_order(old, new));
    changes.extend(entries(&old.schedules, &new.schedules));
    changes
}

fn entries<E: Entry>(old: &[E], new: &[E]) -> Vec<Change> {
    let before: BTreeMap<String, &E> = old.iter().map(|e| (e.key(), e)).collect();
    let after: BTreeMap<String, &E> = new.iter().map(|e| (e.key(), e)).collect();
    let change =
        |kind, name: &str, fields| Change { kind, noun: E::NOUN.to_owned(), name: name.to_owned(), fields };
    let mut changes = Vec::new();
    for (name, entry) in &after {
        match before.get(name) {
            None => changes.push(change(ChangeKind::Added, name, fields(&[], &entry.fields()))),
            Some(earlier) => {
                let fields = fields(&earlier.fields(), &entry.fields());
                if !fields.is_empty() {
                    changes.push(change(ChangeKind::Changed, name, fields));
                }
            }
        }
    }
    changes.extend(
        before
            .keys()
            .filter(|name| !after.contains_key(*name))
            .map(|name| change(ChangeKind::Removed, name, Vec::new())),
    );
    changes
}

/// The fields whose text differs. A field that is not set is not in the list.
fn fields(old: &[(&'static str, String)], new: &[(&'static str, String)]) -> Vec<FieldChange> {
    let value = |list: &[(&'static str, String)], name: &str| {
        list.iter().find(|(field, _)| *field == name).map(|(_, text)| text.clone())
    };
    let gone = old.iter().filter(|(name, _)| value(new, name).is_none());
    new.iter()
        .chain(gone)
        .map(|(name, _)| FieldChange {
            field: (*name).to_owned(),
            from: value(old, name),
            to: value(new, name),
        })
        .filter(|change| change.from != change.to)
        .collect()
}

/// Policies that stay, in another order. The order is part of the inventory.
fn policy_order(old: &Inventory, new: &Inventory) -> Option<Change> {
    let names = |inventory: &Inventory| -> Vec<String> {
        inventory.policies.iter().map(|policy| policy.name.to_string()).collect()
    };
    let (mut from, mut to) = (names(old), names(new));
    let (before, after): (BTreeSet<_>, BTreeSet<_>) =
        (from.iter().cloned().collect(), to.iter().cloned().collect());
    from.retain(|name| after.contains(name));
    to.retain(|name| before.contains(name));
    (from != to).then(|| Change {
        kind: ChangeKind::Changed,
        noun: "policy".to_owned(),
        name: "(all)".to_owned(),
        fields: vec![FieldChange {
            field: "order".to_owned(),
            from: Some(from.join(", ")),
            to: Some(to.join(", ")),
        }],
    })
}
