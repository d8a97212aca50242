//! The clock of a domain controller against this host's.
//!
//! Kerberos tolerates five minutes between two clocks (MS-KILE 3.3.1, RFC 4120 1.6). An offset is measured from several
//! protocols, because each may be answered by another machine or, for time synchronisation, by a device on the way.

use std::time::Duration;

use sekisho_model::{CheckStatus, Facts};

use crate::wire::time::Moment;

/// From this offset on a warning, microseconds: half of what Kerberos tolerates.
const WARNING: u64 = 150_000_000;
/// From this offset on a problem, microseconds.
const PROBLEM: u64 = 300_000_000;
/// Sources that are further apart than what is uncertain about them, and this much more, disagree, microseconds. A clock
/// is read in ticks, and may be set between two questions.
const MARGIN: u64 = 1_000_000;
/// A time without a fraction of a second may have been cut: microseconds of a second.
const SECOND: i64 = 1_000_000;

/// Where a time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `stime` and `susec` of a KRB-ERROR, RFC 4120 5.9.1: the clock that tickets are judged by.
    Kerberos,
    /// `SystemTime` of an SMB2 NEGOTIATE response, MS-SMB2 2.2.4.
    Smb,
    /// `currentTime` of the rootDSE, MS-ADTS 3.1.1.3.2.2; whole seconds.
    Ldap,
    /// An SNTP reply, RFC 4330.
    Ntp,
}

impl Source {
    /// The word in facts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kerberos => "kerberos",
            Self::Smb => "smb",
            Self::Ldap => "ldap",
            Self::Ntp => "ntp",
        }
    }
}

/// The difference of two clocks. The true one is not further from `offset` than `uncertainty`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The domain controller's clock less this host's, microseconds: positive where the domain controller is ahead.
    offset: i64,
    /// Microseconds.
    uncertainty: u64,
}

impl Sample {
    /// From a time that the server told between `sent`, microseconds after 1970 by this host's clock, and `took` later.
    #[must_use]
    pub fn told(server: Moment, sent: i64, took: Duration) -> Self {
        let half = half(i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
        // A whole second may stand for any moment of it.
        let cut = if server.unix_micros().rem_euclid(SECOND) == 0 { self::half(SECOND) } else { 0 };
        let offset = server.unix_micros().saturating_add(cut).saturating_sub(sent.saturating_add(half));
        Self { offset, uncertainty: half.saturating_add(cut).unsigned_abs() }
    }

    /// From the times at which the server took a request and gave its answer (RFC 4330 section 5); `sent` and `took` as in
    /// [`Sample::told`]. What the server took for itself is not uncertain.
    #[must_use]
    pub fn exchanged(receive: Moment, transmit: Moment, sent: i64, took: Duration) -> Self {
        let whole = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        let inside = transmit.unix_micros().saturating_sub(receive.unix_micros());
        if !(0..=whole).contains(&inside) {
            return Self::told(transmit, sent, took);
        }
        let middle = receive.unix_micros().saturating_add(half(inside));
        let offset = middle.saturating_sub(sent.saturating_add(half(whole)));
        Self { offset, uncertainty: half(whole.saturating_sub(inside)).unsigned_abs() }
    }

    fn apart(self, other: Self) -> bool {
        let apart = self.offset.abs_diff(other.offset);
        apart > self.uncertainty.saturating_add(other.uncertainty).saturating_add(MARGIN)
    }

    const fn severity(self) -> CheckStatus {
        match self.offset.unsigned_abs() {
            PROBLEM.. => CheckStatus::Problem,
            WARNING..PROBLEM => CheckStatus::Warning,
            0..WARNING => CheckStatus::Ok,
        }
    }
}

fn half(micros: i64) -> i64 {
    micros.div_euclid(2)
}

/// What came of asking a source: a sample, or the word for why there is none.
pub type Reading = Result<Sample, &'static str>;

/// Judges the readings: by Kerberos where the sources disagree, or else by the one that is least uncertain.
#[must_use]
pub fn judge(readings: &[(Source, Reading)]) -> (CheckStatus, Facts) {
    let mut facts = readings.iter().flat_map(|(source, reading)| told(*source, *reading)).collect::<Facts>();
    let samples: Vec<(Source, Sample)> =
        readings.iter().filter_map(|(source, reading)| Some((*source, reading.ok()?))).collect();
    let Some((best, against)) = judged_by(&samples) else {
        facts.insert("reason".to_owned(), "no-source".into());
        return (CheckStatus::Unknown, facts);
    };
    let (source, sample) = best;
    facts.insert("offset-source".to_owned(), source.word().into());
    facts.insert("offset-ms".to_owned(), rounded(sample.offset, 1_000).into());
    facts.insert("offset-seconds".to_owned(), rounded(sample.offset, SECOND).into());
    facts.insert("offset-uncertainty-ms".to_owned(), milliseconds_up(sample.uncertainty).into());
    let offset = if against.is_empty() || source == Source::Kerberos {
        sample.severity()
    } else {
        // Nobody knows which of them is right: what none of them denies is certain.
        samples.iter().map(|(_, sample)| sample.severity()).min().unwrap_or(CheckStatus::Unknown)
    };
    if !against.is_empty() {
        facts.insert("sources-disagree".to_owned(), against.join(",").into());
    }
    let reason = match (offset, against.is_empty()) {
        (CheckStatus::Ok, true) => return (CheckStatus::Ok, facts),
        (CheckStatus::Ok, false) => "sources-disagree",
        (CheckStatus::Warning | CheckStatus::Problem | CheckStatus::Unknown, _) => "clock-offset",
    };
    facts.insert("reason".to_owned(), reason.into());
    (offset.max(CheckStatus::Warning), facts)
}

/// The sample to judge by, and the words of the sources that disagree with it.
fn judged_by(samples: &[(Source, Sample)]) -> Option<((Source, Sample), Vec<&'static str>)> {
    let against = |sample: Sample| -> Vec<&'static str> {
        samples.iter().filter(|(_, other)| sample.apart(*other)).map(|(source, _)| source.word()).collect()
    };
    let best = *samples.iter().min_by_key(|(_, sample)| sample.uncertainty)?;
    let disagree = samples.iter().any(|(_, sample)| !against(*sample).is_empty());
    let kerberos = samples.iter().find(|(source, _)| disagree && *source == Source::Kerberos);
    let judged = kerberos.copied().unwrap_or(best);
    Some((judged, against(judged.1)))
}

fn told(source: Source, reading: Reading) -> Facts {
    let name = source.word();
    match reading {
        Ok(sample) => Facts::from([
            (format!("{name}-offset-ms"), rounded(sample.offset, 1_000).into()),
            (format!("{name}-uncertainty-ms"), milliseconds_up(sample.uncertainty).into()),
        ]),
        Err(why) => Facts::from([(name.to_owned(), why.into())]),
    }
}

/// In units of so many microseconds, to the nearest.
fn rounded(micros: i64, unit: i64) -> i64 {
    micros.saturating_add(half(unit)).div_euclid(unit)
}

fn milliseconds_up(micros: u64) -> i64 {
    i64::try_from(micros.div_ceil(1_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sekisho_model::Fact;

    use super::*;

    const SENT: i64 = 1_700_000_000_123_456;

    fn sample(offset_ms: i64, uncertainty_ms: u64) -> Reading {
        Ok(Sample { offset: offset_ms * 1_000, uncertainty: uncertainty_ms * 1_000 })
    }

    fn fact(facts: &Facts, name: &str) -> String {
        facts.get(name).map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn an_offset_counts_from_the_middle_of_the_round_trip() {
        let server = Moment::from_unix_micros(SENT + 7_000_000 + 10_000).unwrap();
        let sample = Sample::told(server, SENT, Duration::from_millis(20));
        assert_eq!(sample, Sample { offset: 7_000_000, uncertainty: 10_000 });
    }

    #[test]
    fn a_whole_second_stands_for_all_of_it() {
        let server = Moment::from_unix_micros(1_700_000_000_000_000).unwrap();
        let sample = Sample::told(server, SENT, Duration::from_millis(20));
        assert_eq!(sample, Sample { offset: 500_000 - 123_456 - 10_000, uncertainty: 510_000 });
    }

    #[test]
    fn what_the_server_takes_for_itself_is_not_uncertain() {
        let at = |micros| Moment::from_unix_micros(SENT + 7_000_000 + micros).unwrap();
        let took = Duration::from_millis(20);
        let sample = Sample::exchanged(at(4_000), at(16_000), SENT, took);
        assert_eq!(sample, Sample { offset: 7_000_000, uncertainty: 4_000 });
        // An answer before its request, and one that took longer than it was waited for.
        for receive in [20_000, -9_000] {
            let sample = Sample::exchanged(at(receive), at(16_000), SENT, took);
            assert_eq!(sample, Sample { offset: 7_006_000, uncertainty: 10_000 });
        }
    }

    #[test]
    fn each_offset_has_its_status() {
        for (offset_ms, status, reason) in [
            (0, CheckStatus::Ok, ""),
            (149_999, CheckStatus::Ok, ""),
            (-149_999, CheckStatus::Ok, ""),
            (150_000, CheckStatus::Warning, "clock-offset"),
            (-299_999, CheckStatus::Warning, "clock-offset"),
            (300_000, CheckStatus::Problem, "clock-offset"),
            (-86_400_000, CheckStatus::Problem, "clock-offset"),
        ] {
            let (judged, facts) = judge(&[(Source::Kerberos, sample(offset_ms, 5))]);
            assert_eq!((judged, fact(&facts, "reason").as_str()), (status, reason), "{offset_ms}: {facts:?}");
            assert_eq!(facts["offset-ms"], Fact::from(offset_ms));
        }
    }

    #[test]
    fn the_least_uncertain_source_tells_the_offset() {
        let (status, facts) = judge(&[
            (Source::Kerberos, sample(1_900, 40)),
            (Source::Smb, sample(1_600, 3)),
            (Source::Ldap, sample(1_400, 510)),
            (Source::Ntp, Err("refused")),
        ]);
        assert_eq!(status, CheckStatus::Ok);
        for (name, expected) in [
            ("offset-source", "smb"),
            ("offset-ms", "1600"),
            ("offset-seconds", "2"),
            ("offset-uncertainty-ms", "3"),
            ("kerberos-offset-ms", "1900"),
            ("ldap-uncertainty-ms", "510"),
            ("ntp", "refused"),
            ("reason", ""),
            ("sources-disagree", ""),
        ] {
            assert_eq!(fact(&facts, name), expected, "{name}: {facts:?}");
        }
    }

    #[test]
    fn disagreement_is_named_and_judged_by_kerberos() {
        let (status, facts) = judge(&[
            (Source::Kerberos, sample(10, 5)),
            (Source::Smb, sample(420_000, 2)),
            (Source::Ldap, sample(-400, 510)),
            (Source::Ntp, sample(-3_000, 1)),
        ]);
        assert_eq!(status, CheckStatus::Warning);
        assert_eq!(fact(&facts, "reason"), "sources-disagree");
        assert_eq!(fact(&facts, "sources-disagree"), "smb,ntp");
        assert_eq!(fact(&facts, "offset-source"), "kerberos");

        let (status, facts) = judge(&[(Source::Kerberos, sample(420_000, 5)), (Source::Smb, sample(0, 2))]);
        assert_eq!((status, fact(&facts, "reason").as_str()), (CheckStatus::Problem, "clock-offset"));
    }

    #[test]
    fn without_kerberos_only_what_no_source_denies_is_a_problem() {
        let (status, facts) = judge(&[(Source::Smb, sample(420_000, 2)), (Source::Ntp, sample(0, 9))]);
        assert_eq!((status, fact(&facts, "reason").as_str()), (CheckStatus::Warning, "sources-disagree"));
        let (status, _) = judge(&[(Source::Smb, sample(420_000, 2)), (Source::Ntp, sample(500_000, 9))]);
        assert_eq!(status, CheckStatus::Problem);
    }

    #[test]
    fn without_a_source_nothing_is_known() {
        let (status, facts) = judge(&[(Source::Kerberos, Err("silent")), (Source::Smb, Err("refused"))]);
        assert_eq!(status, CheckStatus::Unknown);
        assert_eq!(fact(&facts, "reason"), "no-source");
        assert_eq!((fact(&facts, "kerberos"), fact(&facts, "smb")), ("silent".into(), "refused".into()));
    }

    fn reading() -> impl Strategy<Value = Reading> {
        prop_oneof![
            Just(Err("silent")),
            (any::<i64>(), any::<u64>()).prop_map(|(offset, uncertainty)| Ok(Sample { offset, uncertainty })),
            (-1_000_000_000_i64..1_000_000_000, 0_u64..1_000_000)
                .prop_map(|(offset, uncertainty)| Ok(Sample { offset, uncertainty })),
        ]
    }

    const SOURCES: [Source; 4] = [Source::Kerberos, Source::Smb, Source::Ldap, Source::Ntp];

    proptest! {
        #[test]
        fn a_status_needs_a_source_that_says_so(readings in proptest::array::uniform4(reading())) {
            let readings: Vec<_> = SOURCES.into_iter().zip(readings).collect();
            let (status, facts) = judge(&readings);
            let says = |status| readings.iter().any(|(_, r)| r.is_ok_and(|sample| sample.severity() == status));
            match status {
                CheckStatus::Ok | CheckStatus::Problem => prop_assert!(says(status)),
                CheckStatus::Warning => prop_assert!(readings.iter().any(|(_, r)| r.is_ok())),
                CheckStatus::Unknown => prop_assert!(readings.iter().all(|(_, r)| r.is_err())),
            }
            prop_assert_eq!(status == CheckStatus::Ok, !facts.contains_key("reason"));
        }

        /// Replies that are lost take knowledge away and add no accusation.
        #[test]
        fn loss_makes_no_problem(offset in -149_000_i64..149_000, lost in proptest::array::uniform4(any::<bool>())) {
            let readings: Vec<_> = SOURCES
                .into_iter()
                .zip(lost)
                .map(|(source, lost)| (source, if lost { Err("silent") } else { sample(offset, 5) }))
                .collect();
            let (status, _) = judge(&readings);
            prop_assert_eq!(status, if lost == [true; 4] { CheckStatus::Unknown } else { CheckStatus::Ok });
        }

        #[test]
        fn the_true_offset_is_within_the_uncertainty(
            sent in 1_600_000_000_000_000_i64..1_800_000_000_000_000,
            took in 0_i64..5_000_000, at in 0.0_f64..1.0, truth in -1_000_000_000_i64..1_000_000_000, cut: bool,
        ) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a part of some seconds")]
            let mut server = sent + (took as f64 * at) as i64 + truth;
            if cut {
                server -= server.rem_euclid(SECOND);
            }
            let moment = Moment::from_unix_micros(server).unwrap();
            let took = Duration::from_micros(took.unsigned_abs());
            let mut samples = vec![Sample::told(moment, sent, took)];
            if !cut {
                samples.push(Sample::exchanged(moment, moment, sent, took));
            }
            for sample in samples {
                prop_assert!(sample.offset.abs_diff(truth) <= sample.uncertainty + 1, "{sample:?} for {truth}");
            }
        }
    }
}
