use super::*;

const BOUNDS: Bounds = Bounds { late: seconds(10), lost: seconds(60), stuck: seconds(300) };

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Connected, and heard of a second ago.
fn well() -> Signs {
    Signs { connected: true, silent: Some(seconds(1)), ..Signs::default() }
}

fn away(silent: u64) -> Signs {
    Signs { connected: false, silent: Some(seconds(silent)), ..Signs::default() }
}

fn behind(seconds: i64) -> Signs {
    Signs { clock: Some(SignedDuration::from_secs(seconds)), ..well() }
}

#[test]
fn each_row_of_the_table() {
    use ProbeStatus::{Late, Lost, Never, Online, Revoked, Stuck, Unwell};
    let owing = |owing| Signs { owing: Some(seconds(owing)), ..well() };
    let says = |problem: &str| Signs { problems: vec![problem.to_owned()], ..well() };
    let silent = |silent| Signs { silent: Some(seconds(silent)), ..well() };
    for (signs, status, why) in [
        (well(), Online, ""),
        (Signs { revoked: true, ..owing(900) }, Revoked, ""),
        (Signs { revoked: true, ..Signs::default() }, Revoked, ""),
        (Signs::default(), Never, "it enrolled and has not connected"),
        (away(0), Late, "it is not connected; it was last heard of less than 1 s ago"),
        (away(59), Late, "it is not connected; it was last heard of 59 s ago"),
        (away(60), Lost, "it is not connected; it was last heard of 1 min ago"),
        (away(90_061), Lost, "it is not connected; it was last heard of 1 d 1 h ago"),
        (silent(9), Online, ""),
        (silent(10), Late, "it says nothing; it was last heard of 10 s ago"),
        (silent(61), Lost, "it says nothing; it was last heard of 1 min 1 s ago"),
        // What it says of itself is old news by then.
        (
            Signs { problems: vec!["x".to_owned()], ..away(3) },
            Late,
            "it is not connected; it was last heard of 3 s ago",
        ),
        (owing(299), Online, ""),
        (
            owing(3_720),
            Stuck,
            "it was given work, and has neither handed in nor ended anything for 1 h 2 min",
        ),
        (Signs { owing: Some(seconds(900)), ..says("no disk") }, Stuck, "it was given work"),
        (Signs { owing: Some(seconds(900)), ..away(5) }, Late, "it is not connected"),
        (says("spool: disk full"), Unwell, "spool: disk full"),
        (
            Signs { clock: behind(90).clock, ..says("no disk") },
            Unwell,
            "no disk; its clock is 1 min 30 s ahead",
        ),
        (behind(60), Online, ""),
        (behind(61), Unwell, "its clock is 1 min 1 s ahead"),
        (behind(-7_200), Unwell, "its clock is 2 h behind"),
    ] {
        let verdict = signs.judge(BOUNDS);
        assert_eq!(verdict.status, status, "{signs:?}");
        let said = verdict.why.unwrap_or_default();
        assert!(said.starts_with(why) && said.is_empty() == why.is_empty(), "{said:?} of {signs:?}");
    }
}

#[test]
fn bounds_that_lie_the_other_way_round_do_not_lose_a_connected_probe() {
    let bounds = Bounds { late: seconds(100), lost: seconds(1), ..BOUNDS };
    assert_eq!(Signs { silent: Some(seconds(50)), ..well() }.judge(bounds).status, ProbeStatus::Online);
}

#[test]
fn a_vantage_is_covered_by_a_probe_that_works() {
    use ProbeStatus::{Late, Lost, Never, Online, Revoked, Stuck, Unwell};
    for (probes, why) in [
        (&[][..], Some("no probe; make a token for one with: sekisho probe token --vantage v")),
        (&[Revoked], Some("no probe; make a token for one with: sekisho probe token --vantage v")),
        (&[Online], None),
        (&[Late], None),
        (&[Stuck, Lost, Online], None),
        (&[Lost, Revoked], Some("no probe that works: 1 lost")),
        (&[Never, Lost, Stuck, Lost], Some("no probe that works: 1 stuck, 2 lost, 1 never")),
        (&[Unwell], Some("no probe that works: 1 unwell")),
    ] {
        assert_eq!(uncovered("v", probes).as_deref(), why, "{probes:?}");
    }
}

#[test]
fn words_are_those_of_json_and_of_the_table() {
    let text = include_str!("../health.rs");
    for status in ProbeStatus::ALL {
        let word = status.word();
        assert_eq!(serde_json::to_value(status).unwrap(), word);
        let problem = if status.is_problem() { "yes" } else { "no" };
        assert!(text.contains(&format!("//! | `{word}` | {problem} | ")), "{word} is not in the table");
    }
}
