//! Whether a computer account of a name exists, from what domain controllers tell without credentials.
//!
//! A netlogon ping names an account and its kind, and is told whether an enabled account of that kind exists (MS-ADTS
//! 6.3.3). A KDC tells by its refusal whether a principal exists (RFC 4120 3.1.3): Windows says of a disabled one that it is
//! revoked, Samba that it must prove itself as any other. So both are asked.

use sekisho_model::{CheckStatus, Facts};

pub use name::{BadName, ComputerName};

mod name;

/// A text in facts is cut to this many octets.
const MAX_TEXT: usize = 1_024;

/// Kinds of account, as bits that a netlogon ping asks for (SAM account control, MS-SAMR 2.2.1.12).
pub mod kind {
    /// A workstation or a member server.
    pub const COMPUTER: u32 = 0x80;
    /// A domain controller.
    pub const DOMAIN_CONTROLLER: u32 = 0x100;
    /// A user, or a domain that is trusted.
    pub const OTHER: u32 = 0x10 | 0x40;
}

/// What a KDC says about a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kdc {
    /// KDC_ERR_C_PRINCIPAL_UNKNOWN: there is none. Some KDCs say so too when they do not serve the realm.
    Absent,
    /// It must prove itself, or gets a ticket without: it exists.
    Exists,
    /// KDC_ERR_CLIENT_REVOKED: it exists, and is disabled, locked or expired.
    Revoked,
    /// Another error, which proves neither.
    Other(i64),
}

impl Kdc {
    /// What an error code of a KDC-REP means, RFC 4120 7.5.9.
    #[must_use]
    pub const fn of_error(code: i64) -> Self {
        match code {
            6 => Self::Absent,
            18 => Self::Revoked,
            // KDC_ERR_KEY_EXPIRED and KDC_ERR_PREAUTH_REQUIRED.
            23 | 25 => Self::Exists,
            other => Self::Other(other),
        }
    }
}

/// What one domain controller told. `None`: it told nothing about that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// An enabled account of a workstation or member server has the name.
    pub computer: Option<bool>,
    /// An enabled account of a domain controller has it.
    pub domain_controller: Option<bool>,
    /// An enabled account of another kind has it.
    pub other: Option<bool>,
    /// What the KDC says.
    pub kdc: Option<Kdc>,
}

/// What is known of the name. In the order in which one domain controller's word outweighs another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing proves anything.
    Unknown,
    /// No account has it.
    Free,
    /// An account has it, which is disabled or locked.
    Disabled,
    /// An account has it.
    Exists,
    /// A domain controller has it.
    DomainController,
}

impl State {
    /// The word in facts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Free => "free",
            Self::Disabled => "disabled",
            Self::Exists => "exists",
            Self::DomainController => "domain-controller",
        }
    }
}

impl Told {
    fn answered(&self) -> bool {
        *self != Self::default()
    }

    /// Nobody has an enabled account of the name, whatever its kind.
    fn none_enabled(&self) -> bool {
        [self.computer, self.domain_controller, self.other] == [Some(false); 3]
    }

    /// What this domain controller proves.
    #[must_use]
    pub fn state(&self) -> State {
        match (self.domain_controller, self.computer, self.other, self.kdc) {
            (Some(true), ..) => State::DomainController,
            (_, Some(true), ..) | (_, _, Some(true), _) => State::Exists,
            (_, _, _, Some(Kdc::Revoked)) => State::Disabled,
            (_, _, _, Some(Kdc::Exists)) if self.none_enabled() => State::Disabled,
            (_, _, _, Some(Kdc::Exists)) => State::Exists,
            // The KDC of another realm might say so too: it must have answered for this domain as well.
            (_, Some(false), _, Some(Kdc::Absent)) => State::Free,
            (_, _, _, Some(Kdc::Absent | Kdc::Other(_)) | None) => State::Unknown,
        }
    }
}

/// Judges what the domain controllers told, each with its name.
#[must_use]
pub fn judge(name: &ComputerName, told: &[(String, Told)]) -> (CheckStatus, Facts) {
    let states: Vec<(&str, State)> = told.iter().map(|(dc, told)| (dc.as_str(), told.state())).collect();
    // Of equals the first: the order is that of asking.
    let weightiest = states.iter().rev().max_by_key(|(_, state)| *state).copied();
    let (by, state) = weightiest.unwrap_or(("", State::Unknown));
    let answered = told.iter().filter(|(_, told)| told.answered()).count();
    let mut facts = Facts::from([
        ("account".to_owned(), name.account().into()),
        ("state".to_owned(), state.word().into()),
        ("dcs-asked".to_owned(), count(told.len()).into()),
        ("dcs-answered".to_owned(), count(answered).into()),
    ]);
    if state != State::Unknown {
        facts.insert("proved-by".to_owned(), by.into());
    }
    if states.iter().any(|(_, other)| *other != State::Unknown && *other != state) {
        let each: Vec<String> = states.iter().map(|(dc, state)| format!("{dc}={}", state.word())).collect();
        facts.insert("dcs-disagree".to_owned(), cut(&each.join(",")).into());
    }
    let (status, reason) = match state {
        State::Free => return (CheckStatus::Ok, facts),
        State::Exists => (CheckStatus::Warning, "account-exists"),
        State::Disabled => (CheckStatus::Warning, "account-disabled"),
        State::DomainController => (CheckStatus::Problem, "account-of-a-dc"),
        State::Unknown if answered == 0 => (CheckStatus::Unknown, "nothing-answers"),
        State::Unknown => (CheckStatus::Unknown, "not-proven"),
    };
    facts.insert("reason".to_owned(), reason.into());
    if let Some(detail) = detail(state, told) {
        facts.insert("detail".to_owned(), detail.into());
    }
    (status, facts)
}

fn detail(state: State, told: &[(String, Told)]) -> Option<&'static str> {
    let any = |what: fn(&Told) -> bool| told.iter().any(|(_, told)| what(told));
    match state {
        State::Unknown if any(|told| told.kdc == Some(Kdc::Absent)) => Some(
            "the KDC knows no such account, but no answer over 389/udp proves that it is one of this domain",
        ),
        State::Unknown if any(|told| told.computer == Some(false)) => Some(
            "no enabled computer account has the name; without an answer of the KDC it may still be a disabled one",
        ),
        State::Exists if any(|told| told.other == Some(true)) => {
            Some("the account is not a computer's: a user or a trusted domain has the name")
        }
        State::Free | State::Disabled | State::Exists | State::DomainController | State::Unknown => None,
    }
}

/// A name that no computer of a domain can have.
#[must_use]
pub fn bad(name: &str, bad: BadName) -> (CheckStatus, Facts) {
    let name = name.escape_debug().to_string();
    let facts = Facts::from([
        ("reason".to_owned(), "bad-name".into()),
        ("name".to_owned(), cut(&name).into()),
        ("detail".to_owned(), format!("no computer of a domain can have this name: {bad}").into()),
    ]);
    (CheckStatus::Problem, facts)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(netlogon: [Option<bool>; 3], kdc: Option<Kdc>) -> Told {
        let [computer, domain_controller, other] = netlogon;
        Told { computer, domain_controller, other, kdc }
    }

    const NONE: [Option<bool>; 3] = [Some(false); 3];
    const SILENT: [Option<bool>; 3] = [None; 3];

    #[test]
    fn what_one_domain_controller_proves() {
        let yes = |place: usize| std::array::from_fn(|n| Some(n == place));
        for (netlogon, kdc, state) in [
            (NONE, Some(Kdc::Absent), State::Free),
            (yes(0), Some(Kdc::Exists), State::Exists),
            (yes(0), None, State::Exists),
            (yes(1), Some(Kdc::Exists), State::DomainController),
            (yes(1), None, State::DomainController),
            (yes(2), Some(Kdc::Exists), State::Exists),
            // Windows, and Samba, of a disabled account.
            (NONE, Some(Kdc::Revoked), State::Disabled),
            (NONE, Some(Kdc::Exists), State::Disabled),
            (SILENT, Some(Kdc::Revoked), State::Disabled),
            (SILENT, Some(Kdc::Exists), State::Exists),
            ([Some(false), None, Some(false)], Some(Kdc::Exists), State::Exists),
            // Neither alone proves that the name is free.
            (SILENT, Some(Kdc::Absent), State::Unknown),
            (NONE, None, State::Unknown),
            (NONE, Some(Kdc::Other(68)), State::Unknown),
            (SILENT, None, State::Unknown),
        ] {
            assert_eq!(told(netlogon, kdc).state(), state, "{netlogon:?} {kdc:?}");
        }
    }

    #[test]
    fn error_codes_of_a_kdc() {
        for (code, kdc) in [
            (6, Kdc::Absent),
            (18, Kdc::Revoked),
            (23, Kdc::Exists),
            (25, Kdc::Exists),
            (14, Kdc::Other(14)),
            (68, Kdc::Other(68)),
        ] {
            assert_eq!(Kdc::of_error(code), kdc);
        }
    }

    fn judged(told: &[Told]) -> (CheckStatus, String, Facts) {
        let name = ComputerName::new("PC8").unwrap();
        let told: Vec<_> = told.iter().enumerate().map(|(n, told)| (format!("dc{}", n + 1), *told)).collect();
        let (status, facts) = judge(&name, &told);
        let reason = facts.get("reason").map(ToString::to_string).unwrap_or_default();
        (status, reason, facts)
    }

    const FREE: Told = Told {
        computer: Some(false),
        domain_controller: Some(false),
        other: Some(false),
        kdc: Some(Kdc::Absent),
    };
    const EXISTS: Told = Told { computer: Some(true), kdc: Some(Kdc::Exists), ..FREE };
    const NOTHING: Told = Told { computer: None, domain_controller: None, other: None, kdc: None };

    #[test]
    fn each_state_has_its_status() {
        let disabled = Told { kdc: Some(Kdc::Revoked), ..FREE };
        let dc = Told { domain_controller: Some(true), ..FREE };
        for (all, status, reason, state) in [
            (vec![FREE], CheckStatus::Ok, "", "free"),
            (vec![FREE, NOTHING], CheckStatus::Ok, "", "free"),
            (vec![NOTHING, EXISTS], CheckStatus::Warning, "account-exists", "exists"),
            (vec![disabled], CheckStatus::Warning, "account-disabled", "disabled"),
            (vec![dc, EXISTS], CheckStatus::Problem, "account-of-a-dc", "domain-controller"),
            (vec![NOTHING], CheckStatus::Unknown, "nothing-answers", "unknown"),
            (vec![], CheckStatus::Unknown, "nothing-answers", "unknown"),
            (vec![Told { kdc: None, ..FREE }], CheckStatus::Unknown, "not-proven", "unknown"),
        ] {
            let (judged, why, facts) = judged(&all);
            assert_eq!((judged, why.as_str()), (status, reason), "{all:?}");
            assert_eq!(facts["state"].to_string(), state);
            assert_eq!(facts["account"].to_string(), "PC8$");
        }
    }

    #[test]
    fn domain_controllers_that_disagree_are_named() {
        let (status, _, facts) = judged(&[FREE, EXISTS, NOTHING]);
        assert_eq!(status, CheckStatus::Warning);
        assert_eq!(facts["dcs-disagree"].to_string(), "dc1=free,dc2=exists,dc3=unknown");
        assert_eq!(facts["proved-by"].to_string(), "dc2");
        assert_eq!(
            (facts["dcs-asked"].to_string(), facts["dcs-answered"].to_string()),
            ("3".into(), "2".into())
        );
        assert!(!judged(&[FREE, NOTHING]).2.contains_key("dcs-disagree"));
        assert_eq!(judged(&[FREE, EXISTS, EXISTS]).2["proved-by"].to_string(), "dc2");
    }

    #[test]
    fn texts_are_bounded() {
        let (status, facts) = bad(&"\u{1b}é".repeat(5_000), BadName::Length);
        assert_eq!(status, CheckStatus::Problem);
        let shown = facts["name"].to_string();
        assert!(shown.len() <= MAX_TEXT && !shown.contains('\u{1b}'), "{shown}");
        let name = ComputerName::new("PC8").unwrap();
        let (_, facts) = judge(&name, &[("é".repeat(600), FREE), ("é".repeat(600), EXISTS)]);
        assert!(facts["dcs-disagree"].to_string().len() <= MAX_TEXT);
    }

    fn any_told() -> impl Strategy<Value = Told> {
        let kdc = prop_oneof![
            Just(None),
            Just(Some(Kdc::Absent)),
            Just(Some(Kdc::Exists)),
            Just(Some(Kdc::Revoked)),
            any::<i64>().prop_map(|code| Some(Kdc::Other(code)))
        ];
        (any::<[Option<bool>; 3]>(), kdc).prop_map(|(netlogon, kdc)| told(netlogon, kdc))
    }

    proptest! {
        #[test]
        fn ok_needs_both_kinds_of_evidence(all in proptest::collection::vec(any_told(), 0..4)) {
            if judged(&all).0 == CheckStatus::Ok {
                prop_assert!(all.iter().any(|t| t.computer == Some(false) && t.kdc == Some(Kdc::Absent)));
            }
        }

        /// Whatever subset of the replies is lost: no problem where there was none, and no other account than there is.
        #[test]
        fn loss_makes_nothing_worse(all in proptest::collection::vec(any_told(), 1..4), lost: [[bool; 4]; 3]) {
            let mut fewer = all.clone();
            for (told, lost) in fewer.iter_mut().zip(lost) {
                let slots = [&mut told.computer, &mut told.domain_controller, &mut told.other];
                for (slot, _) in slots.into_iter().zip(lost).filter(|(_, lost)| *lost) {
                    *slot = None;
                }
                if lost[3] {
                    told.kdc = None;
                }
            }
            if judged(&fewer).0 == CheckStatus::Problem {
                prop_assert_eq!(judged(&all).0, CheckStatus::Problem);
            }
        }
    }
}
