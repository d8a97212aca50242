//! What keeps this probe from working, in sentences for whoever looks at the fleet.

use crate::{
    scope::Scope,
    spool::{BYTES, Held, ROWS},
};

/// As of now; empty: nothing.
pub(super) fn problems(scope: &Scope, held: &Held) -> Vec<String> {
    let allows = match (scope.problem(), scope.rules()) {
        (Some(problem), _) => Some(format!("the scope file allows nothing: {problem}")),
        (None, 0) => Some("the scope file allows nothing: it has no rule".to_owned()),
        (None, _) => None,
    };
    let writes = held.failure.as_ref().map(|why| format!("the spool cannot be used: {why}"));
    // Before the limit already: the next observation may be the one that does not fit.
    let full = held.rows >= ROWS || held.bytes.saturating_add(1_024) > BYTES;
    let room = full.then(|| format!("the spool is full: {} observations wait for a controller", held.rows));
    [allows, writes, room].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope;

    fn scope(text: &str) -> Scope {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(scope::path(dir.path()), text).unwrap();
        Scope::read(dir.path())
    }

    #[test]
    fn each_problem_is_a_sentence_and_no_problem_is_none() {
        let (good, held) = (scope("allow = [\"10.0.0.0/24\"]"), Held::default());
        let told = |scope: &Scope, held: &Held| problems(scope, held).join("|");
        assert_eq!(told(&good, &held), "");
        assert_eq!(told(&scope("allow = []"), &held), "the scope file allows nothing: it has no rule");
        let bad = told(&scope("allow = 3"), &held);
        assert!(bad.starts_with("the scope file allows nothing: ") && bad.contains("scope.toml"), "{bad}");
        let failed = Held { failure: Some("No space left".to_owned()), ..Held::default() };
        assert_eq!(told(&good, &failed), "the spool cannot be used: No space left");
        let rows = Held { rows: ROWS, ..Held::default() };
        assert_eq!(told(&good, &rows), "the spool is full: 200000 observations wait for a controller");
        let bytes = Held { bytes: BYTES - 9, failure: Some("x".to_owned()), ..Held::default() };
        assert!(told(&good, &bytes).starts_with("the spool cannot be used: x|the spool is full: "));
    }
}
