//! What the terminal shows, as plain strings.

use unicode_width::UnicodeWidthChar;

use super::{
    Style, columns, cut, plain, render,
    symbol::{ascii, unicode},
    text::width,
};
use crate::{
    BuiltIn, Cell, Check, CheckKind, CheckStatus, Fact, Facts, Matrix, Outcome, SweepState, SweepSummary,
};

const PLAIN: Style = Style { color: false, ascii: false, width: None };

fn cell(vantage: &str, service: &str, outcome: Outcome) -> Cell {
    let service: crate::Service = service.parse().unwrap();
    let mut facts = Facts::new();
    if outcome == Outcome::Missed {
        facts.insert("reason".into(), "no-probe".into());
    }
    Cell {
        vantage: vantage.into(),
        subnet: Some("10.77.20.0/24".parse().unwrap()),
        target: "dc1.corp.example".into(),
        address: "10.77.1.10".parse().unwrap(),
        service,
        transport: service.transport(),
        need: service.need(),
        port: service.port(),
        outcome,
        by: None,
        rtt_us: None,
        attempts: if outcome == Outcome::Missed { 0 } else { 6 },
        confirmed: false,
        facts,
        evidence: vec![],
        observed_at: None,
    }
}

fn matrix(cells: Vec<Cell>) -> Matrix {
    Matrix { sweep: None, at: None, cells, checks: vec![] }
}

fn ports(vantage: &str, outcome: impl Fn(&str) -> Outcome) -> Vec<Cell> {
    BuiltIn::Ports.services().iter().map(|s| cell(vantage, &s.name(), outcome(&s.name()))).collect()
}

#[test]
fn one_vantage_with_what_blocks_it() {
    let mut cells = ports("vlan20", |service| match service {
        "smb" => Outcome::Filtered,
        "ldaps" => Outcome::Rejected,
        _ => Outcome::Open,
    });
    let ldaps = cells.iter_mut().find(|c| c.service.name() == "ldaps").unwrap();
    ldaps.by = Some("10.77.20.1".parse().unwrap());
    ldaps.facts.insert("icmp".into(), "administratively prohibited".into());
    assert_eq!(
        render(&matrix(cells), &PLAIN),
        "\
dc1.corp.example 10.77.1.10
                               dns  dns  kerberos  kerberos  rpc                                  gc
                               udp  tcp    udp       tcp     epm  ldap  cldap  smb  ldaps   gc   ssl
                         icmp  53   53      88        88     135  389    389   445   636   3268  3269
  vlan20  10.77.20.0/24   ✓     ✓    ✓      ✓         ✓       ✓    ✓      ✓     #     ⊘     ✓     ✓
vlan20 → dc1 smb 445/tcp: filtered (silence through 6 attempts)
vlan20 → dc1 ldaps 636/tcp: rejected by 10.77.20.1 (ICMP administratively prohibited)

✓ open   # filtered   ⊘ rejected
12 flows: 10 open, 1 filtered, 1 rejected
"
    );
}

#[test]
fn japanese_names_stay_aligned_and_missed_flows_are_one_line() {
    let mut cells =
        vec![cell("本社サーバー", "smb", Outcome::Open), cell("本社サーバー", "ldap", Outcome::Open)];
    cells.extend([cell("vlan40", "smb", Outcome::Missed), cell("vlan40", "ldap", Outcome::Missed)]);
    let text = render(&matrix(cells), &Style { ascii: true, ..PLAIN });
    assert_eq!(
        text,
        "\
dc1.corp.example 10.77.1.10
                               ldap  smb
                               389   445
  本社サーバー  10.77.20.0/24   +     +
  vlan40        10.77.20.0/24   -     -
vlan40 -> dc1: all 2 flows missed (no-probe)

+ open   - missed
4 flows: 2 open, 2 missed
"
    );
    let rows: Vec<&str> = text.lines().filter(|l| l.contains("10.77.20.0")).collect();
    assert!(rows.windows(2).all(|pair| width(pair[0]) == width(pair[1])));
}

#[test]
fn a_narrow_terminal_gets_several_blocks() {
    for limit in [60, 80, 100] {
        let text =
            render(&matrix(ports("vlan20", |_| Outcome::Open)), &Style { width: Some(limit), ..PLAIN });
        assert!(text.lines().all(|line| width(line) <= limit), "{limit}:\n{text}");
        assert_eq!(text.matches("dc1.corp.example").count(), if limit < 80 { 2 } else { 1 }, "{text}");
        assert_eq!(text.matches('✓').count(), 13, "{text}");
    }
}

#[test]
fn forty_vantages_with_one_cause_are_one_sentence() {
    let cells: Vec<Cell> = (1..=40).flat_map(|n| ports(&format!("vlan{n}"), |_| Outcome::Filtered)).collect();
    let text = render(&matrix(cells), &PLAIN);
    assert!(text.contains(
        "vlan1, vlan2, vlan3, vlan4 and 36 more → dc1: all 12 flows filtered (silence through 6 attempts)\n"
    ));
    assert_eq!(text.lines().filter(|line| line.contains('→')).count(), 1);
    assert!(text.ends_with("480 flows: 480 filtered\n"));
}

#[test]
fn some_flows_of_a_vantage_share_a_sentence_and_attempts_are_a_range() {
    let mut cells = vec![
        cell("vlan20", "smb", Outcome::Filtered),
        cell("vlan20", "ldap", Outcome::Filtered),
        cell("vlan20", "gc", Outcome::Open),
    ];
    cells[0].attempts = 4;
    cells[2].facts.insert("intermittent".into(), Fact::Flag(true));
    let text = render(&matrix(cells), &PLAIN);
    assert!(text.contains(
        "vlan20 → dc1: 2 flows filtered (silence through 4 to 6 attempts): ldap 389/tcp, smb 445/tcp\n"
    ));
    assert!(text.contains("vlan20 → dc1 gc 3268/tcp: open (intermittent)\n"));
}

#[test]
fn an_rpc_interface_is_told_with_the_port_that_was_mapped() {
    let mut mapped = cell("vlan20", "rpc-lsa", Outcome::Filtered);
    mapped.port = Some(49_671);
    let cells =
        vec![mapped, cell("vlan20", "rpc-drs", Outcome::Closed), cell("vlan20", "tcp/8443", Outcome::Mute)];
    let text = render(&matrix(cells), &PLAIN);
    for line in ["rpc-lsa 49671/tcp: filtered", "rpc-drs tcp: closed", "tcp/8443: mute"] {
        assert!(text.contains(&format!("vlan20 → dc1 {line}")), "{text}");
    }
}

#[test]
fn targets_that_share_a_label_are_told_apart() {
    let mut other = cell("vlan20", "smb", Outcome::Closed);
    other.target = "dc1.lab.example".into();
    let mut second = cell("vlan20", "smb", Outcome::Closed);
    second.address = "10.77.1.11".parse().unwrap();
    let text = render(&matrix(vec![cell("vlan20", "smb", Outcome::Closed), other, second]), &PLAIN);
    for who in ["dc1.corp.example 10.77.1.10 smb", "dc1.lab.example smb", "dc1.corp.example 10.77.1.11 smb"] {
        assert!(text.contains(&format!("vlan20 → {who} 445/tcp: closed\n")), "{text}");
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    let cells = ports("vlan20", |s| if s == "smb" { Outcome::Mute } else { Outcome::Open });
    let colour = render(&matrix(cells.clone()), &Style { color: true, ..PLAIN });
    assert!(colour.contains("\u{1b}[33m~\u{1b}[0m"));
    let mut plain = String::new();
    let mut rest = colour.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, render(&matrix(cells), &PLAIN));
}

#[test]
fn text_from_the_network_cannot_steer_the_terminal() {
    let mut wrong = cell("vlan\u{1b}[2J", "smb", Outcome::Wrong);
    wrong.target = "dc\u{7}1".into();
    wrong.facts.insert("banner".into(), "\u{1b}]0;x\u{7}\r\n\u{202e}".into());
    let text = render(&matrix(vec![wrong]), &PLAIN);
    assert!(text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')), "{text:?}");
    assert!(text.contains("wrong (banner ?]0;x????)"), "{text}");
}

#[test]
fn symbols_differ_and_are_one_column_wide_everywhere() {
    for draw in [ascii, unicode] {
        let mut symbols: Vec<char> = Outcome::ALL.into_iter().map(draw).collect();
        assert!(symbols.iter().all(|c| c.width_cjk() == Some(1)), "{symbols:?}");
        symbols.sort_unstable();
        symbols.dedup();
        assert_eq!(symbols.len(), Outcome::ALL.len());
    }
    assert!(Outcome::ALL.into_iter().all(|o| ascii(o).is_ascii()));
}

#[test]
fn an_empty_matrix_says_so() {
    assert_eq!(render(&matrix(vec![]), &PLAIN), "No flows: nothing was tested.\n");
    let mut empty = matrix(vec![]);
    empty.sweep = Some(SweepSummary {
        id: 7,
        state: SweepState::Complete,
        profile: "ports".into(),
        started_at: "2026-11-20T02:00:00Z".parse().unwrap(),
        finished_at: None,
        planned: 0,
        checks: 0,
        observed: 0,
        missed: 0,
    });
    assert_eq!(
        render(&empty, &PLAIN),
        "sweep 7 complete, profile ports, started 2026-11-20 02:00:00Z: 0 flows planned, 0 observed, 0 missed\n\n\
         No flows: the sweep found no target to test. List targets in the inventory, or check the SRV records.\n"
    );
}

fn check(vantage: &str, target: Option<&str>, kind: CheckKind, status: CheckStatus) -> Check {
    Check {
        vantage: vantage.into(),
        domain: "corp.example".into(),
        target: target.map(Into::into),
        address: target.map(|_| "10.77.1.10".parse().unwrap()),
        check: kind,
        status,
        facts: Facts::new(),
        observed_at: Some("2026-11-20T02:00:00Z".parse().unwrap()),
    }
}

fn with_facts(check: Check, facts: &[(&str, &str)]) -> Check {
    Check { facts: facts.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(), ..check }
}

#[test]
fn checks_that_are_not_ok_are_told_and_all_are_counted() {
    let clock = |vantage, status| check(vantage, Some("dc1.corp.example"), CheckKind::Clock, status);
    let skewed = [("reason", "skew"), ("detail", "the clock of dc1 is 420 s ahead"), ("samples", "4")];
    let account = check("vlan10", None, CheckKind::ComputerAccount, CheckStatus::Warning);
    let checks = vec![
        check("vlan10", None, CheckKind::Resolver, CheckStatus::Ok),
        check("vlan20", None, CheckKind::Resolver, CheckStatus::Ok),
        with_facts(account, &[("computer", "PC8"), ("reason", "exists")]),
        with_facts(clock("vlan10", CheckStatus::Problem), &skewed),
        with_facts(clock("vlan20", CheckStatus::Problem), &skewed),
        with_facts(clock("vlan30", CheckStatus::Unknown), &[("reason", "no-answer"), ("detail", "")]),
    ];
    let text = render(&Matrix { checks, ..matrix(vec![cell("vlan10", "smb", Outcome::Open)]) }, &PLAIN);
    assert!(
        text.ends_with(
            "\
vlan10, vlan20 → dc1 clock: problem (skew, the clock of dc1 is 420 s ahead)
vlan10 → corp.example computer-account PC8: warning (exists)
vlan30 → dc1 clock: unknown (no-answer)

✓ open
1 flow: 1 open
6 checks: 2 ok, 1 warning, 2 problem, 1 unknown
"
        ),
        "{text}"
    );
}

#[test]
fn checks_with_one_cause_are_one_sentence() {
    let missed = [("reason", "no-probe")];
    let checks = |vantage: &str, status, facts: &[(&str, &str)]| -> Vec<Check> {
        [CheckKind::Resolver, CheckKind::SrvRecords, CheckKind::Host]
            .map(|kind| with_facts(check(vantage, None, kind, status), facts))
            .to_vec()
    };
    let mut all = checks("vlan10", CheckStatus::Unknown, &missed);
    all.extend(checks("vlan20", CheckStatus::Unknown, &missed));
    let mut some = checks("vlan30", CheckStatus::Warning, &[("reason", "slow")]);
    some[2].status = CheckStatus::Ok;
    all.extend(some);
    let text = render(&Matrix { checks: all, ..matrix(vec![]) }, &Style { ascii: true, ..PLAIN });
    assert_eq!(
        text,
        "\
No flows.

vlan30: 2 checks warning (slow): corp.example resolver, corp.example srv-records
vlan10, vlan20: all 3 checks unknown (no-probe)

9 checks: 1 ok, 2 warning, 6 unknown
"
    );
}

#[test]
fn checks_of_a_target_with_two_addresses_are_told_apart() {
    let mut checks =
        vec![check("vlan10", Some("dc1.corp.example"), CheckKind::Clock, CheckStatus::Problem); 2];
    checks[1].address = Some("fd00::10".parse().unwrap());
    checks[1].facts.insert("x".into(), "\u{1b}[2J".into());
    let text = render(&Matrix { checks, ..matrix(vec![]) }, &PLAIN);
    assert!(text.contains("vlan10 → dc1.corp.example 10.77.1.10 clock: problem\n"), "{text}");
    assert!(text.contains("vlan10 → dc1.corp.example fd00::10 clock: problem (x ?[2J)\n"), "{text}");
}

#[test]
fn lines_are_cut_at_what_a_terminal_shows() {
    assert_eq!(cut("本社サーバー 3 of 12", 7), "本社サ");
    assert_eq!(cut("a\u{1b}[2Jb", 80), "a?[2Jb");
    assert_eq!(cut("anything", 0), "");
    assert_eq!(plain("one \u{1b}]0;x\u{7}\ntwo\r\n\u{202e}"), "one ?]0;x?\ntwo?\n?");
}

#[test]
fn columns_are_aligned_by_what_a_terminal_shows() {
    let rows = [["ID", "VANTAGE", "HOST"], ["1", "本社", "srv1"], ["22", "vlan20", "\u{1b}[1msrv2"]];
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(columns(&rows), "ID  VANTAGE  HOST\n1   本社     srv1\n22  vlan20   ?[1msrv2\n");
}

#[test]
fn where_a_flow_ends_is_told() {
    let blocked = |last: Option<&str>, next: Option<&str>, end: bool| {
        let mut cell = cell("vlan20", "smb", Outcome::Filtered);
        let hops = [("last-hop", last), ("next-hop", next)];
        cell.facts.extend(hops.iter().filter_map(|(name, hop)| Some(((*name).to_owned(), (*hop)?.into()))));
        if end {
            cell.facts.insert("filter-at".to_owned(), "last-hop-or-target".into());
        }
        render(&Matrix { sweep: None, at: None, cells: vec![cell], checks: vec![] }, &PLAIN)
    };
    for (last, next, end, told) in [
        (Some("10.77.20.1"), Some("10.77.254.2"), false, "filtered between 10.77.20.1 and 10.77.254.2 ("),
        (Some("10.77.254.2"), Some("10.77.1.10"), true, "filtered at 10.77.254.2 or at the target ("),
        (Some("10.77.20.1"), None, false, "filtered behind 10.77.20.1 ("),
        (None, Some("10.77.20.1"), false, "filtered before 10.77.20.1 ("),
        (None, Some("10.77.1.10"), true, "filtered at the target ("),
        (None, None, false, "filtered ("),
    ] {
        let text = blocked(last, next, end);
        assert!(text.contains(told) && !text.contains("last-hop"), "{told}: {text}");
    }
}
