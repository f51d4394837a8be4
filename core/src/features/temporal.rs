//! Features of dates, in UTC and without a clock.
//!
//! A date is a string in ISO 8601 form (`2024-03-15`, `2024-03-15T18:30:00Z`, with an offset or
//! with a space for the T), or a number of Unix milliseconds in a field whose name says so
//! (`timestamp`, `date`, `time`, or ending in `At`, `Date`, `Time`, `_at`, `_date`, `_time` or
//! `_ms`).

use serde_json::{Map, Value};

use super::Hemisphere;

const DAY_MS: i64 = 86_400_000;
/// ECMAScript's range of dates: ±100 million days.
const RANGE_MS: i64 = 100_000_000 * DAY_MS;

pub(super) fn features(fields: &Map<String, Value>, hemisphere: Hemisphere) -> Map<String, Value> {
    let date = |(name, value): (&String, &Value)| {
        Some((name.clone(), of_time(time_of(name, value)?, hemisphere)))
    };
    fields.iter().filter_map(date).collect()
}

fn time_of(name: &str, value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => parse_iso(text),
        Value::Number(n) if names_a_time(name) => {
            let ms = n.as_i64().or_else(|| n.as_f64().map(|x| x as i64))?;
            (-RANGE_MS..=RANGE_MS).contains(&ms).then_some(ms)
        }
        _ => None,
    }
}

fn names_a_time(name: &str) -> bool {
    const ENDS: [&str; 7] = ["At", "Date", "Time", "_at", "_date", "_time", "_ms"];
    ["timestamp", "date", "time"].contains(&name) || ENDS.iter().any(|end| name.ends_with(end))
}

/// Month from 0 and day of week from Sunday = 0, as JavaScript counts them.
fn of_time(ms: i64, hemisphere: Hemisphere) -> Value {
    let days = ms.div_euclid(DAY_MS);
    let (year, month, day) = civil(days);
    let mut map = Map::new();
    map.insert("timestamp".into(), ms.into());
    map.insert("year".into(), year.into());
    map.insert("month".into(), (month - 1).into());
    map.insert("day".into(), day.into());
    map.insert("hour".into(), (ms.rem_euclid(DAY_MS) / 3_600_000).into());
    // 1 January 1970 was a Thursday.
    map.insert("dayOfWeek".into(), (days + 4).rem_euclid(7).into());
    map.insert("season".into(), season(month, hemisphere).into());
    Value::Object(map)
}

fn season(month: i64, hemisphere: Hemisphere) -> &'static str {
    let month = match hemisphere {
        Hemisphere::North => month,
        Hemisphere::South => (month + 5) % 12 + 1,
    };
    match month {
        3..=5 => "spring",
        6..=8 => "summer",
        9..=11 => "autumn",
        _ => "winter",
    }
}

/// Whether a string is a date.
pub(super) fn is_date(text: &str) -> bool {
    parse_iso(text).is_some()
}

/// Unix milliseconds of an ISO 8601 date or date and time; without an offset it is UTC.
fn parse_iso(text: &str) -> Option<i64> {
    let mut rest = text.trim().as_bytes();
    let year = digits(&mut rest, 4)?;
    let month = after(&mut rest, b'-').and_then(|()| digits(&mut rest, 2))?;
    let day = after(&mut rest, b'-').and_then(|()| digits(&mut rest, 2))?;
    if !(1..=12).contains(&month) || day < 1 || day > month_days(year, month) {
        return None;
    }
    let midnight = days(year, month, day) * DAY_MS;
    if rest.is_empty() {
        return Some(midnight);
    }
    after(&mut rest, b'T').or_else(|| after(&mut rest, b' '))?;
    let hour = digits(&mut rest, 2)?;
    let minute = after(&mut rest, b':').and_then(|()| digits(&mut rest, 2))?;
    let mut second = 0;
    let mut ms = 0;
    if after(&mut rest, b':').is_some() {
        second = digits(&mut rest, 2)?;
        if after(&mut rest, b'.').is_some() {
            ms = fraction_ms(&mut rest)?;
        }
    }
    let last = hour == 24 && minute + second + ms == 0;
    if !(hour < 24 || last) || minute > 59 || second > 59 {
        return None;
    }
    let offset = offset_minutes(rest)?;
    Some(midnight + ((hour * 60 + minute - offset) * 60 + second) * 1000 + ms)
}

fn after(rest: &mut &[u8], byte: u8) -> Option<()> {
    *rest = rest.strip_prefix(&[byte])?;
    Some(())
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    head.iter().try_fold(0, |n, b| {
        b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0'))
    })
}

fn fraction_ms(rest: &mut &[u8]) -> Option<i64> {
    let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let value = digits(rest, length)?;
    Some(value * 1000 / 10i64.pow(length as u32))
}

fn offset_minutes(mut rest: &[u8]) -> Option<i64> {
    let sign = match rest {
        [] | b"Z" | b"z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    rest = &rest[1..];
    let hours = digits(&mut rest, 2)?;
    // With or without a colon.
    let _ = after(&mut rest, b':');
    let minutes = if rest.is_empty() {
        0
    } else {
        digits(&mut rest, 2)?
    };
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month from 1 and day: the inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (years + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_civil_are_inverse_over_the_range_of_dates() {
        for day in (-3_000_000..3_000_000).step_by(37) {
            let (year, month, dom) = civil(day);
            assert_eq!(days(year, month, dom), day);
            assert!(
                (1..=month_days(year, month)).contains(&dom),
                "{year}-{month}-{dom}"
            );
        }
    }

    #[test]
    fn iso_dates_are_read_and_others_refused() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("2024-02-29T12:00:00Z", 1_709_208_000_000),
            ("2024-02-29 12:00", 1_709_208_000_000),
            ("2024-02-29T14:00:00.250+02:00", 1_709_208_000_250),
            ("2024-02-29T02:30:00-0930", 1_709_208_000_000),
            ("1969-12-31T23:59:59.999Z", -1),
        ] {
            assert_eq!(parse_iso(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "2024",
            "2023-02-29",
            "2024-13-01",
            "2024-01-01T25:00",
            "2024-01-01X",
            "12.5",
            "Red",
            "2024-01-01T10:00:00+",
            "20240101",
            "2024-01-01T10:00:00.Z",
        ] {
            assert_eq!(parse_iso(text), None, "{text}");
        }
    }
}
