use sekisho_model::{CheckStatus, Fact};

use super::*;
use crate::wire::time::Moment;

fn sid(parts: &[u32]) -> Sid {
    let mut octets = vec![1, u8::try_from(parts.len()).unwrap(), 0, 0, 0, 0, 0, 5];
    octets.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    Sid::decode(&octets).unwrap()
}

fn member(rid: u32) -> Sid {
    sid(&[21, 1, 2, 3, rid])
}

/// An ordinary user who has used 3 of a quota of 10 and may create where computers are made.
fn findings() -> Findings {
    let administrators =
        Administrators { domain: Some(sid(&[21, 1, 2, 3])), root: Some(sid(&[21, 9, 9, 9])) };
    Findings {
        joiner: Joiner { sid: Some(member(1105)), token: vec![member(1105), member(513)], administrators },
        creation: Creation {
            container: Container::Found { dn: "CN=Computers,DC=corp,DC=example".into(), may_create: true },
            chosen: None,
            quota: Some(10),
            used: Used::Exactly(3),
        },
        computer: None,
    }
}

fn computer(name: &str) -> Computer {
    let namesakes = Namesakes { extent: Extent::Forest, found: Vec::new() };
    Computer { name: Name::new(name), account: None, namesakes }
}

/// The account of an administrator's making, never used.
fn account() -> Account {
    Account {
        dn: "CN=PC8,CN=Computers,DC=corp,DC=example".into(),
        classes: ["top", "person", "organizationalPerson", "user", "computer"].map(str::to_owned).into(),
        control: Some(0x1000),
        created: Moment::from_generalized(b"20260102030405.0Z"),
        password_set: None,
        last_logon: None,
        creator: None,
        owner: Some(member(512)),
        maker_groups: None,
        may_write: true,
    }
}

fn word<'a>(facts: &'a Facts, name: &str) -> &'a str {
    match facts.get(name) {
        Some(Fact::Text(text)) => text,
        _ => "",
    }
}

/// Status, reason and error of a change of the findings.
fn outcome(change: impl FnOnce(&mut Findings)) -> (CheckStatus, String, Option<i64>) {
    let mut findings = findings();
    change(&mut findings);
    let (status, facts) = judge(&findings);
    let error = match facts.get("windows-error") {
        Some(Fact::Integer(error)) => Some(*error),
        _ => None,
    };
    assert_eq!(status == CheckStatus::Ok, !facts.contains_key("reason"), "{facts:?}");
    assert!(facts.len() <= 30, "{facts:?}");
    (status, word(&facts, "reason").to_owned(), error)
}

fn cannot_create(findings: &mut Findings) {
    let dn = "OU=Servers,DC=corp,DC=example".into();
    findings.creation.container = Container::Found { dn, may_create: false };
}

const OK: CheckStatus = CheckStatus::Ok;
const WARNING: CheckStatus = CheckStatus::Warning;
const PROBLEM: CheckStatus = CheckStatus::Problem;
const UNKNOWN: CheckStatus = CheckStatus::Unknown;

type Change = fn(&mut Findings);
type Case = (&'static str, Change, CheckStatus, &'static str, Option<i64>);

fn check(cases: &[Case]) {
    for (what, change, status, reason, error) in cases {
        assert_eq!(outcome(change), (*status, (*reason).to_owned(), *error), "{what}");
    }
}

#[test]
fn making_an_account() {
    check(&[
        ("may create", |_| {}, OK, "", None),
        ("may create, quota used up", |f| f.creation.used = Used::Exactly(10), OK, "", None),
        ("may create, quota 0", |f| f.creation.quota = Some(0), OK, "", None),
        ("by quota", cannot_create, WARNING, "quota-path", None),
        (
            "quota 0",
            |f| {
                cannot_create(f);
                f.creation.quota = Some(0)
            },
            PROBLEM,
            "quota-exceeded",
            Some(8557),
        ),
        (
            "quota used up",
            |f| {
                cannot_create(f);
                f.creation.used = Used::Exactly(10)
            },
            PROBLEM,
            "quota-exceeded",
            Some(8557),
        ),
        (
            "one left",
            |f| {
                cannot_create(f);
                f.creation.used = Used::Exactly(9)
            },
            WARNING,
            "quota-path",
            None,
        ),
        (
            "more than counted",
            |f| {
                cannot_create(f);
                f.creation.used = Used::AtLeast(10)
            },
            PROBLEM,
            "quota-exceeded",
            Some(8557),
        ),
        (
            "not counted",
            |f| {
                cannot_create(f);
                f.creation.used = Used::Unknown
            },
            WARNING,
            "quota-path",
            None,
        ),
    ]);
}

#[test]
fn making_an_account_without_a_known_quota() {
    check(&[
        (
            "quota unreadable",
            |f| {
                cannot_create(f);
                f.creation.quota = None
            },
            UNKNOWN,
            "quota-unreadable",
            None,
        ),
        (
            "administrators have no quota",
            |f| {
                cannot_create(f);
                f.creation.quota = Some(0);
                f.joiner.token.push(Sid::builtin_administrators());
            },
            WARNING,
            "quota-path",
            None,
        ),
        (
            "another domain's administrators have",
            |f| {
                cannot_create(f);
                f.creation.quota = Some(0);
                f.joiner.token.push(sid(&[21, 7, 7, 7, 512]));
            },
            PROBLEM,
            "quota-exceeded",
            Some(8557),
        ),
    ]);
}

#[test]
fn containers() {
    check(&[
        (
            "chosen and missing",
            |f| {
                f.creation.chosen = Some("OU=x,DC=corp,DC=example".into());
                f.creation.container = Container::Missing;
            },
            PROBLEM,
            "container-missing",
            None,
        ),
        (
            "default and missing",
            |f| f.creation.container = Container::Missing,
            UNKNOWN,
            "container-missing",
            None,
        ),
        (
            "malformed",
            |f| {
                f.creation.chosen = Some("Servers".into());
                f.creation.container = Container::Malformed;
            },
            PROBLEM,
            "container-malformed",
            None,
        ),
        (
            "of another domain",
            |f| {
                f.creation.chosen = Some("OU=x,DC=other".into());
                f.creation.container = Container::Elsewhere;
            },
            PROBLEM,
            "container-elsewhere",
            None,
        ),
        ("refused", |f| f.creation.container = Container::Refused(51), UNKNOWN, "container-refused", None),
        (
            "missing although the account exists",
            |f| {
                f.creation.chosen = Some("OU=x,DC=corp,DC=example".into());
                f.creation.container = Container::Missing;
                f.computer = Some(Computer { account: Some(account()), ..computer("PC8") });
            },
            PROBLEM,
            "container-missing",
            None,
        ),
    ]);
}

fn existing(change: impl FnOnce(&mut Account)) -> Option<Computer> {
    let mut account = account();
    change(&mut account);
    Some(Computer { account: Some(account), ..computer("PC8") })
}

fn strangers(account: &mut Account) {
    account.owner = Some(member(1200));
}

#[test]
fn an_account_that_exists() {
    check(&[
        ("of administrators", |f| f.computer = existing(|_| {}), OK, "", None),
        (
            "of administrators, nothing left to create with",
            |f| {
                cannot_create(f);
                f.creation.quota = Some(0);
                f.computer = existing(|_| {});
            },
            OK,
            "",
            None,
        ),
        (
            "of Enterprise Admins",
            |f| f.computer = existing(|a| a.owner = Some(sid(&[21, 9, 9, 9, 519]))),
            OK,
            "",
            None,
        ),
        (
            "of another forest's",
            |f| f.computer = existing(|a| a.owner = Some(sid(&[21, 8, 8, 8, 519]))),
            WARNING,
            "account-reuse-unproved",
            None,
        ),
        (
            "of BUILTIN",
            |f| f.computer = existing(|a| a.owner = Some(Sid::builtin_administrators())),
            OK,
            "",
            None,
        ),
        (
            "the joiner's own",
            |f| {
                f.computer = existing(|a| {
                    strangers(a);
                    a.creator = Some(member(1105))
                })
            },
            OK,
            "",
            None,
        ),
        ("a stranger's", |f| f.computer = existing(strangers), WARNING, "account-reuse-unproved", None),
        (
            "a stranger's, the joiner unknown",
            |f| {
                f.joiner.sid = None;
                f.computer = existing(strangers);
            },
            WARNING,
            "account-reuse-unproved",
            None,
        ),
    ]);
}

#[test]
fn an_account_that_an_administrator_made() {
    check(&[
        (
            "made by an administrator",
            |f| {
                f.computer = existing(|a| {
                    strangers(a);
                    a.maker_groups = Some(vec![member(513), member(512)])
                });
            },
            OK,
            "",
            None,
        ),
        (
            "made by a user",
            |f| {
                f.computer = existing(|a| {
                    strangers(a);
                    a.maker_groups = Some(vec![member(513)])
                });
            },
            WARNING,
            "account-reuse-unproved",
            None,
        ),
    ]);
}

#[test]
fn an_account_that_exists_and_is_no_easy_one() {
    check(&[
        (
            "not writable",
            |f| f.computer = existing(|a| a.may_write = false),
            WARNING,
            "account-not-writable",
            None,
        ),
        ("in use", |f| f.computer = existing(|a| a.last_logon = a.created), WARNING, "account-in-use", None),
        ("disabled", |f| f.computer = existing(|a| a.control = Some(0x1002)), OK, "", None),
        ("unreadable", |f| f.computer = existing(|a| a.control = None), UNKNOWN, "account-unreadable", None),
        (
            "a domain controller",
            |f| f.computer = existing(|a| a.control = Some(0x82000)),
            PROBLEM,
            "name-of-domain-controller",
            None,
        ),
        (
            "a read-only one",
            |f| f.computer = existing(|a| a.control = Some(0x0500_1000)),
            PROBLEM,
            "name-of-domain-controller",
            None,
        ),
        ("a user", |f| f.computer = existing(|a| drop(a.classes.pop())), PROBLEM, "name-taken", None),
        (
            "a managed service account",
            |f| {
                f.computer = existing(|a| a.classes.push("msDS-GroupManagedServiceAccount".into()));
            },
            PROBLEM,
            "name-taken",
            None,
        ),
        ("a trust", |f| f.computer = existing(|a| a.control = Some(0x820)), PROBLEM, "name-taken", None),
    ]);
}

fn duplicate(spn: bool, host_name: bool) -> Duplicate {
    Duplicate { dn: "CN=OTHER,DC=corp,DC=example".into(), spn, host_name }
}

fn with_duplicates(found: Vec<Duplicate>) -> Option<Computer> {
    Some(Computer { namesakes: Namesakes { extent: Extent::Forest, found }, ..computer("PC8") })
}

#[test]
fn namesakes() {
    check(&[
        ("none", |f| f.computer = with_duplicates(Vec::new()), OK, "", None),
        (
            "SPN",
            |f| f.computer = with_duplicates(vec![duplicate(false, true), duplicate(true, false)]),
            PROBLEM,
            "duplicate-spn",
            None,
        ),
        (
            "host name",
            |f| f.computer = with_duplicates(vec![duplicate(false, true)]),
            WARNING,
            "duplicate-host-name",
            None,
        ),
        (
            "account name",
            |f| f.computer = with_duplicates(vec![duplicate(false, false)]),
            WARNING,
            "same-name-in-forest",
            None,
        ),
        (
            "no global catalog",
            |f| {
                let mut pc8 = computer("PC8");
                pc8.namesakes.extent = Extent::Domain("3269 is silent".into());
                f.computer = Some(pc8);
            },
            WARNING,
            "forest-not-searched",
            None,
        ),
        (
            "no global catalog, one domain",
            |f| {
                let mut pc8 = computer("PC8");
                pc8.namesakes.extent = Extent::OnlyDomain;
                f.computer = Some(pc8);
            },
            OK,
            "",
            None,
        ),
    ]);
}

#[test]
fn names() {
    let cases = [
        ("PC8", OK, ""),
        ("a-b-c-d-e-f-g-h", OK, ""),
        ("PC8$", OK, ""),
        ("1pc", OK, ""),
        ("", PROBLEM, "name-empty"),
        ("a-b-c-d-e-f-g-hi", PROBLEM, "name-too-long"),
        ("12345", PROBLEM, "name-all-digits"),
        (".pc", PROBLEM, "name-leading-period"),
        ("pc/8", PROBLEM, "name-characters"),
        ("pc*", PROBLEM, "name-characters"),
        ("pc\u{1b}8", PROBLEM, "name-characters"),
        ("pc.corp", WARNING, "name-not-dns"),
        ("pc_8", WARNING, "name-not-dns"),
        ("-pc", WARNING, "name-not-dns"),
        ("pc-", WARNING, "name-not-dns"),
        ("p", WARNING, "name-not-dns"),
        ("受付", WARNING, "name-not-dns"),
        ("Server", WARNING, "name-reserved"),
    ];
    for (name, status, reason) in cases {
        let found = outcome(|findings| findings.computer = Some(computer(name)));
        assert_eq!(found, (status, reason.to_owned(), None), "{name}");
        assert_eq!(impossible_name(&Name::new(name)).is_some(), status == PROBLEM, "{name}");
    }
    assert_eq!(Name::new("pc8$").account(), "PC8$");
    assert_eq!(Name::new("pc8").host("corp.example"), "pc8.corp.example");
}

#[test]
fn refused_binds() {
    let windows = |data: &str| {
        format!(
            "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data {data}, v4563\0"
        )
    };
    let cases = [
        (49, windows("52e"), PROBLEM, "logon-failure", Some(1326)),
        (49, windows("52E"), PROBLEM, "logon-failure", Some(1326)),
        (49, windows("525"), PROBLEM, "no-such-user", Some(1326)),
        (49, windows("530"), PROBLEM, "logon-hours", None),
        (49, windows("531"), UNKNOWN, "workstation-not-allowed", None),
        (49, windows("532"), PROBLEM, "password-expired", None),
        (49, windows("533"), PROBLEM, "account-disabled", None),
        (49, windows("701"), PROBLEM, "account-expired", None),
        (49, windows("773"), PROBLEM, "password-must-change", None),
        (49, windows("775"), PROBLEM, "account-locked", None),
        (49, windows("52f"), UNKNOWN, "account-restriction", None),
        (49, windows("80090346"), UNKNOWN, "channel-binding-required", None),
        (
            49,
            "80090346: LdapErr: DSID-0C090597, data 80090346, v4563".into(),
            UNKNOWN,
            "channel-binding-required",
            None,
        ),
        (49, windows("999"), PROBLEM, "logon-refused", None),
        (49, "data ".into(), PROBLEM, "logon-refused", None),
        (49, String::new(), PROBLEM, "logon-refused", None),
        (8, "Transport encryption required".into(), UNKNOWN, "stronger-auth-required", None),
        (51, windows("52e"), UNKNOWN, "bind-refused", None),
    ];
    for (code, words, status, reason, error) in cases {
        let (found, facts) = refused(code, words.as_bytes());
        assert_eq!((found, word(&facts, "reason")), (status, reason), "{words}");
        assert_eq!(facts.get("windows-error"), error.map(Fact::Integer).as_ref(), "{words}");
        assert_eq!(facts["result-code"], Fact::Integer(code));
    }
}

#[test]
fn the_worst_reason_is_told_and_the_others_are_named() {
    let mut findings = findings();
    cannot_create(&mut findings);
    findings.creation.quota = None;
    let mut pc = computer("pc_8");
    pc.namesakes.found = vec![duplicate(true, false)];
    findings.computer = Some(pc);
    let (status, facts) = judge(&findings);
    assert_eq!((status, word(&facts, "reason")), (PROBLEM, "duplicate-spn"));
    assert_eq!(word(&facts, "more-reasons"), "quota-unreadable,name-not-dns");
    assert_eq!(word(&facts, "duplicate-1"), "CN=OTHER,DC=corp,DC=example");
}

#[test]
fn what_a_directory_says_is_cleaned_and_cut() {
    let mut findings = findings();
    let dn = format!("CN=\u{1b}[31m{}", "x".repeat(5000));
    findings.creation.container = Container::Found { dn, may_create: true };
    let (_, facts) = judge(&findings);
    let shown = word(&facts, "container");
    assert!(shown.starts_with("CN=[31mxxx") && shown.len() <= 256, "{shown}");
}

proptest::proptest! {
    #[test]
    fn strange_words_and_names_do_no_harm(code: i64, words in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..300), name: String) {
        let (status, facts) = refused(code, &words);
        assert!(status != OK && facts.len() <= 10);
        let name = Name::new(&name);
        assert!(name.as_str().len() <= 256);
        let _judged = impossible_name(&name);
    }
}
