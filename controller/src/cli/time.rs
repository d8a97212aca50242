//! Times as people write them.

use jiff::{
    Timestamp, Zoned,
    civil::{Date, DateTime},
    tz::TimeZone,
};

/// `2026-11-20T02:00:00Z`, `2026-11-20T11:00+09:00`, `2026-11-20 02:00` in the time zone of this machine, `now`, or
/// `2026-11-20`: the end of that day.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    read(text, &TimeZone::system(), Edge::End)
}

/// As [`parse`], where something begins: `2026-11-20` is the beginning of that day.
pub(super) fn parse_since(text: &str) -> Result<Timestamp, String> {
    read(text, &TimeZone::system(), Edge::Beginning)
}

/// Which moment of a day is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Beginning,
    End,
}

fn read(text: &str, zone: &TimeZone, edge: Edge) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(Timestamp::now());
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let bad =
        || format!("\"{text}\" is no time; write \"2026-11-20 02:00\", 2026-11-20 or 2026-11-20T02:00:00Z");
    let is_date = !text.contains(':');
    let zoned: Result<Zoned, _> = if is_date {
        let date: Date = text.parse().map_err(|_| bad())?;
        let day = if edge == Edge::End { date.tomorrow() } else { Ok(date) };
        day.and_then(|day| day.to_zoned(zone.clone()))
    } else {
        text.parse::<DateTime>().map_err(|_| bad())?.to_zoned(zone.clone())
    };
    zoned.map(|zoned| zoned.timestamp()).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_this_machine_unless_they_say_more() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        for (text, at) in [
            ("2026-11-20T02:00:00Z", "2026-11-20T02:00:00Z"),
            ("2026-11-20T02:00+09:00", "2026-11-19T17:00:00Z"),
            ("2026-11-20 02:00", "2026-11-19T17:00:00Z"),
            ("2026-11-20 02:00:30", "2026-11-19T17:00:30Z"),
            ("2026-11-20", "2026-11-20T15:00:00Z"),
        ] {
            assert_eq!(read(text, &tokyo, Edge::End).unwrap().to_string(), at, "{text}");
        }
        let since = read("2026-11-20", &tokyo, Edge::Beginning).unwrap();
        assert_eq!(since.to_string(), "2026-11-19T15:00:00Z");
        let now = read("now", &tokyo, Edge::End).unwrap();
        assert!(now <= Timestamp::now() && now > Timestamp::UNIX_EPOCH);
        for text in ["", "yesterday", "2026-13-01", "02:00", "9999-12-31"] {
            assert!(read(text, &tokyo, Edge::End).is_err(), "{text}");
        }
    }
}
