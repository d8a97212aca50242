//! Times as peers tell them, as RFC 3339 text. Nothing here reads a clock.

/// Seconds from 1601-01-01, where FILETIME begins, to 1970-01-01.
const FILETIME_TO_UNIX: i64 = 11_644_473_600;
const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// A moment between the years 1 and 9999, UTC, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Microseconds after 1970-01-01T00:00:00Z.
    micros: i64,
}

impl Moment {
    /// From microseconds after 1970-01-01T00:00:00Z; `None` outside the years 1 to 9999.
    #[must_use]
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        let (year, _, _) = civil(micros.div_euclid(MICROS_PER_SECOND.saturating_mul(SECONDS_PER_DAY)))?;
        (1..=9999).contains(&year).then_some(Self { micros })
    }

    /// From a FILETIME: units of 100 ns after 1601-01-01T00:00:00Z (MS-DTYP 2.3.3). The seventh digit is dropped.
    ///
    /// `None` for 0, which peers send for "not told", and beyond the year 9999.
    #[must_use]
    pub fn from_filetime(filetime: u64) -> Option<Self> {
        let micros = i64::try_from(filetime.checked_div(10)?).ok()?;
        if filetime == 0 {
            return None;
        }
        Self::from_unix_micros(micros.checked_sub(FILETIME_TO_UNIX.checked_mul(MICROS_PER_SECOND)?)?)
    }

    /// From an ASN.1 `GeneralizedTime` in UTC: `YYYYMMDDhhmmss`, an optional fraction which is dropped, and `Z`.
    ///
    /// Kerberos writes no fraction (RFC 4120 5.2.3), Active Directory writes `.0` (RFC 4517 3.3.13). `None` for
    /// anything else.
    #[must_use]
    pub fn from_generalized(text: &[u8]) -> Option<Self> {
        let (digits, rest) = text.split_at_checked(14)?;
        let fraction = rest.strip_suffix(b"Z")?;
        match fraction {
            [] => {}
            [b'.', first, more @ ..] if more.iter().chain([first]).all(u8::is_ascii_digit) => {}
            _ => return None,
        }
        let field = |from: usize, to: usize| {
            let field = digits.get(from..to).filter(|field| field.iter().all(u8::is_ascii_digit))?;
            std::str::from_utf8(field).ok()?.parse::<i64>().ok()
        };
        let (hour, minute, second) = (field(8, 10)?, field(10, 12)?, field(12, 14)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days(field(0, 4)?, field(4, 6)?, field(6, 8)?)?;
        let minutes = hour.checked_mul(60)?.checked_add(minute)?;
        let seconds = days.checked_mul(SECONDS_PER_DAY)?.checked_add(minutes.checked_mul(60)?)?;
        Self::from_unix_micros(seconds.checked_add(second)?.checked_mul(MICROS_PER_SECOND)?)
    }

    /// This moment, `micros` later; `None` beyond the year 9999.
    #[must_use]
    pub fn plus_micros(self, micros: u32) -> Option<Self> {
        Self::from_unix_micros(self.micros.checked_add(i64::from(micros))?)
    }

    /// Microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        self.micros
    }

    /// RFC 3339 with six decimals: `2020-07-22T19:16:35.347520Z`.
    #[must_use]
    pub fn rfc3339_micros(self) -> String {
        format!("{}.{:06}Z", self.date_and_time(), self.micros.rem_euclid(MICROS_PER_SECOND))
    }

    /// RFC 3339 without decimals: `2020-07-22T19:16:35Z`.
    #[must_use]
    pub fn rfc3339_seconds(self) -> String {
        format!("{}Z", self.date_and_time())
    }

    fn date_and_time(self) -> String {
        let seconds = self.micros.div_euclid(MICROS_PER_SECOND);
        // The constructor checked the range, so the fallback is never taken.
        let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY)).unwrap_or((1, 1, 1));
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute) = (second.div_euclid(3600), second.div_euclid(60).rem_euclid(60));
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}", second.rem_euclid(60))
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01. Years begin in March here, so that the leap day is
/// the last of a year; 719468 days lie between 0000-03-01 and 1970-01-01, 146097 days are 400 years.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    let days = days.checked_add(719_468)?;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let leaps = day_of_era
        .checked_div(1460)?
        .checked_sub(day_of_era.checked_div(36_524)?)?
        .checked_add(day_of_era.checked_div(146_096)?)?;
    let year_of_era = day_of_era.checked_sub(leaps)?.checked_div(365)?;
    let day_of_year = day_of_era.checked_sub(days_before_year(year_of_era)?)?;
    let month_from_march = day_of_year.checked_mul(5)?.checked_add(2)?.checked_div(153)?;
    let day = day_of_year.checked_sub(days_before_month(month_from_march)?)?.checked_add(1)?;
    let month = if month_from_march < 10 {
        month_from_march.checked_add(3)?
    } else {
        month_from_march.checked_sub(9)?
    };
    let year = era.checked_mul(400)?.checked_add(year_of_era)?.checked_add(i64::from(month <= 2))?;
    Some((year, month, day))
}

/// The day, counted from 1970-01-01, of a proleptic Gregorian date; `None` for a date that does not exist.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let month_from_march = month.checked_add(9)?.checked_rem(12)?;
    let day_of_year = days_before_month(month_from_march)?.checked_add(day)?.checked_sub(1)?;
    let day_of_era = days_before_year(shifted.rem_euclid(400))?.checked_add(day_of_year)?;
    let days = shifted.div_euclid(400).checked_mul(146_097)?.checked_add(day_of_era)?.checked_sub(719_468)?;
    (civil(days)? == (year, month, day)).then_some(days)
}

fn days_before_year(year_of_era: i64) -> Option<i64> {
    let leaps = year_of_era.checked_div(4)?.checked_sub(year_of_era.checked_div(100)?)?;
    year_of_era.checked_mul(365)?.checked_add(leaps)
}

fn days_before_month(month_from_march: i64) -> Option<i64> {
    month_from_march.checked_mul(153)?.checked_add(2)?.checked_div(5)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments() {
        let text = |moment: Option<Moment>| moment.map(Moment::rfc3339_micros);
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_583_020_800_000_000, "2020-03-01T00:00:00.000000Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(text(Moment::from_unix_micros(micros)).as_deref(), Some(expected));
        }
        assert_eq!(text(Moment::from_unix_micros(253_402_300_800_000_000)), None);
        assert_eq!(text(Moment::from_unix_micros(i64::MIN)), None);
        assert_eq!(text(Moment::from_filetime(0)), None);
        assert_eq!(text(Moment::from_filetime(u64::MAX)), None);
        // The FILETIME of 2000-01-01 that MS-DTYP's readers know.
        assert_eq!(
            text(Moment::from_filetime(125_911_584_000_000_019)).as_deref(),
            Some("2000-01-01T00:00:00.000001Z")
        );
    }

    #[test]
    fn generalized_times() {
        let seconds = |text: &str| Moment::from_generalized(text.as_bytes()).map(Moment::rfc3339_seconds);
        assert_eq!(seconds("20200722191635Z").as_deref(), Some("2020-07-22T19:16:35Z"));
        assert_eq!(seconds("20200229000000.0Z").as_deref(), Some("2020-02-29T00:00:00Z"));
        for bad in [
            "",
            "Z",
            "20200722191635",
            "20210229000000Z",
            "20201301000000Z",
            "20200100000000Z",
            "20200101240000Z",
            "20200101006000Z",
            "20200101000060Z",
            "2020010100000+Z",
            "20200101000000.Z",
            "20200101000000.xZ",
            "00000101000000Z",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn days_and_dates_are_inverse(day in -719_162_i64..2_932_897) {
            let (year, month, of_month) = civil(day).unwrap();
            prop_assert!((1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&of_month));
            prop_assert_eq!(days(year, month, of_month), Some(day));
        }

        #[test]
        fn the_next_day_is_the_next_date(day in -719_162_i64..2_932_896) {
            let (year, month, of_month) = civil(day).unwrap();
            let next = civil(day + 1).unwrap();
            let expected = [(year, month, of_month + 1), (year, month + 1, 1), (year + 1, 1, 1)];
            prop_assert!(expected.contains(&next), "{:?} then {:?}", (year, month, of_month), next);
        }

        #[test]
        fn text_is_read_back(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let moment = Moment::from_unix_micros(micros).unwrap();
            let compact = moment.rfc3339_seconds().replace(['-', ':', 'T'], "");
            let read = Moment::from_generalized(compact.as_bytes()).unwrap();
            prop_assert_eq!(read.unix_micros(), micros.div_euclid(1_000_000) * 1_000_000);
        }

        #[test]
        fn no_time_panics(filetime: u64, micros: i64, text in proptest::collection::vec(any::<u8>(), 0..24)) {
            let moments = [
                Moment::from_filetime(filetime),
                Moment::from_unix_micros(micros),
                Moment::from_generalized(&text),
            ];
            for moment in moments.into_iter().flatten() {
                prop_assert_eq!(moment.rfc3339_micros().len(), 27);
            }
        }
    }
}
