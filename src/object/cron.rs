//! When a CronJob's schedule comes round: five fields, or a word for them, in a time zone.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax>

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// 29 February is eight years apart where a century is no leap year; what is rarer never comes.
const YEARS_MAX: i16 = 9;
/// Far more steps than nine years need: a bound on time zones that move in unforeseen ways.
const STEPS_MAX: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error("expected exactly 5 fields, found {0}")]
    Fields(usize),
    #[error("unrecognized descriptor: {0}")]
    Word(String),
    #[error("failed to parse {0}: want a number, a name, a range, or `*`, with an optional step")]
    Part(String),
    #[error("{0} is not between {1} and {2}")]
    Range(String, u8, u8),
    #[error("unknown time zone {0}")]
    Zone(String),
}

/// A bit per minute, hour, day of the month, month and day of the week (Sunday is 0).
#[derive(Debug, Clone)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// One of the two day fields says `*`: then both must fit, else one of them is enough.
    both_days: bool,
    zone: TimeZone,
}

struct Field {
    first: u8,
    last: u8,
    names: &'static [&'static str],
}

const MINUTE: Field = Field {
    first: 0,
    last: 59,
    names: &[],
};
const HOUR: Field = Field {
    first: 0,
    last: 23,
    names: &[],
};
const DAY: Field = Field {
    first: 1,
    last: 31,
    names: &[],
};
const MONTH: Field = Field {
    first: 1,
    last: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAY: Field = Field {
    first: 0,
    last: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Field {
    /// The values, and whether all of them were asked for by `*`.
    fn parse(&self, text: &str) -> Result<(u64, bool), CronError> {
        let mut bits = 0;
        let mut star = false;
        for part in text.split(',') {
            let (values, is_star) = self.part(part)?;
            bits |= values;
            star |= is_star;
        }
        Ok((bits, star))
    }

    fn part(&self, part: &str) -> Result<(u64, bool), CronError> {
        let wrong = || CronError::Part(part.to_owned());
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u8>().map_err(|_| wrong())?)),
            None => (part, None),
        };
        if step == Some(0) {
            return Err(wrong());
        }
        let star = matches!(range, "*" | "?");
        let (first, last) = match range.split_once('-') {
            _ if star => (self.first, self.last),
            Some((first, last)) => (self.value(first, part)?, self.value(last, part)?),
            None => {
                let value = self.value(range, part)?;
                // `5/15`: from five on.
                (value, if step.is_some() { self.last } else { value })
            }
        };
        if first < self.first || last > self.last || first > last {
            return Err(CronError::Range(part.to_owned(), self.first, self.last));
        }
        let step = step.unwrap_or(1);
        let values = (first..=last).step_by(usize::from(step));
        Ok((
            values.fold(0, |bits, value| bits | 1 << value),
            star && step == 1,
        ))
    }

    fn value(&self, text: &str, part: &str) -> Result<u8, CronError> {
        let lower = text.to_ascii_lowercase();
        if let Some(at) = self.names.iter().position(|name| *name == lower) {
            return Ok(self.first + u8::try_from(at).unwrap_or(0));
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = text.parse().ok().filter(|_| digits);
        value.ok_or_else(|| CronError::Part(part.to_owned()))
    }
}

impl Cron {
    /// `zone`: a name of the IANA database; UTC where there is none.
    pub fn parse(schedule: &str, zone: Option<&str>) -> Result<Cron, CronError> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| CronError::Zone(name.to_owned()))?,
        };
        let schedule = schedule.trim();
        let fields = match schedule {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            word if word.starts_with('@') => return Err(CronError::Word(word.to_owned())),
            fields => fields,
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(CronError::Fields(fields.len()));
        };
        let (days, every_day) = DAY.parse(day)?;
        let (weekdays, every_weekday) = WEEKDAY.parse(weekday)?;
        Ok(Cron {
            minutes: MINUTE.parse(minute)?.0,
            hours: HOUR.parse(hour)?.0,
            days,
            months: MONTH.parse(month)?.0,
            weekdays,
            both_days: every_day || every_weekday,
            zone,
        })
    }

    /// The first time after `after`; `None` where there is none (31 February). Hours that a change of the clocks leaves
    /// out do not come, those that it repeats come twice.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let minute = after.as_second().div_euclid(60) + 1;
        let mut at = Timestamp::from_second(minute * 60).ok()?;
        let until = at
            .to_zoned(self.zone.clone())
            .year()
            .saturating_add(YEARS_MAX);
        for _ in 0..STEPS_MAX {
            let local = at.to_zoned(self.zone.clone());
            if local.year() > until {
                return None;
            }
            at = match self.step(&local) {
                Step::Fits => return Some(at),
                Step::Minutes(minutes) => {
                    at.checked_add(SignedDuration::from_mins(minutes)).ok()?
                }
                Step::Date(date) => {
                    let start = date.to_zoned(self.zone.clone()).ok()?;
                    start.timestamp().max(at)
                }
            };
        }
        None
    }

    /// How far to go from a time before it can fit.
    fn step(&self, local: &Zoned) -> Step {
        let date = local.date();
        let has = |bits: u64, value: i8| bits >> value.unsigned_abs() & 1 == 1;
        if !has(self.months, date.month()) {
            let next = date
                .first_of_month()
                .saturating_add(jiff::Span::new().months(1));
            return Step::Date(next);
        }
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let fits = if self.both_days {
            day && weekday
        } else {
            day || weekday
        };
        if !fits {
            return Step::Date(date.tomorrow().unwrap_or(Date::MAX));
        }
        if !has(self.hours, local.hour()) {
            return Step::Minutes(60 - i64::from(local.minute()));
        }
        if has(self.minutes, local.minute()) {
            return Step::Fits;
        }
        let later = (local.minute() + 1..60).find(|minute| has(self.minutes, *minute));
        Step::Minutes(i64::from(later.unwrap_or(60) - local.minute()))
    }

    /// RFC 3339, with the offset of the schedule's zone.
    pub fn show(&self, at: Timestamp) -> String {
        let offset = self.zone.to_offset(at);
        if offset.is_zero() {
            at.to_string()
        } else {
            at.display_with_offset(offset).to_string()
        }
    }
}

enum Step {
    Fits,
    Minutes(i64),
    Date(Date),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn runs(schedule: &str, zone: Option<&str>, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(schedule, zone).unwrap();
        let mut at: Timestamp = after.parse().unwrap();
        let mut runs = Vec::new();
        for _ in 0..count {
            let Some(next) = cron.next(at) else { break };
            runs.push(cron.show(next));
            at = next;
        }
        runs
    }

    #[test]
    fn when_schedules_come_round() {
        let after = "2026-01-01T00:00:30Z";
        for (schedule, expected) in [
            (
                "* * * * *",
                ["2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"],
            ),
            (
                "*/20 * * * *",
                ["2026-01-01T00:20:00Z", "2026-01-01T00:40:00Z"],
            ),
            (
                "5/25 3 * * *",
                ["2026-01-01T03:05:00Z", "2026-01-01T03:30:00Z"],
            ),
            (
                "0 8-10/2,23 * * *",
                ["2026-01-01T08:00:00Z", "2026-01-01T10:00:00Z"],
            ),
            ("@hourly", ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]),
            ("@daily", ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]),
            ("@weekly", ["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"]),
            ("@monthly", ["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]),
            ("@yearly", ["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]),
            (
                "30 6 * Feb mon-Tue",
                ["2026-02-02T06:30:00Z", "2026-02-03T06:30:00Z"],
            ),
            // Both days are given: one of them is enough.
            (
                "0 0 13 * fri",
                ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"],
            ),
            (
                "0 0 */2 * 5",
                ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"],
            ),
            (
                "0 0 ? * 5",
                ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"],
            ),
            (
                "0 0 31 * *",
                ["2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"],
            ),
            (
                "0 0 29 2 *",
                ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
            ),
        ] {
            assert_eq!(runs(schedule, None, after, 2), expected, "{schedule}");
        }
        assert!(runs("0 0 31 2 *", None, after, 1).is_empty());
        assert_eq!(
            runs("0 0 29 2 *", None, "2097-01-01T00:00:00Z", 1),
            ["2104-02-29T00:00:00Z"]
        );
    }

    #[test]
    fn zones_and_their_changes() {
        let zone = Some("Europe/Berlin");
        assert_eq!(
            runs("30 2 * * *", zone, "2026-03-27T12:00:00Z", 2),
            ["2026-03-28T02:30:00+01:00", "2026-03-30T02:30:00+02:00"]
        );
        assert_eq!(
            runs("30 2 * * *", zone, "2026-10-24T12:00:00Z", 3),
            [
                "2026-10-25T02:30:00+02:00",
                "2026-10-25T02:30:00+01:00",
                "2026-10-26T02:30:00+01:00"
            ]
        );
        assert_eq!(
            runs("0 9 * * *", Some("Asia/Kolkata"), "2026-01-01T00:00:00Z", 1),
            ["2026-01-01T09:00:00+05:30"]
        );
        assert_eq!(
            Cron::parse("@daily", Some("Mars/Base")).err(),
            Some(CronError::Zone("Mars/Base".into()))
        );
    }

    #[test]
    fn what_is_no_schedule() {
        for schedule in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "* * * * funday",
            "1,,2 * * * *",
            "-1 * * * *",
            "+1 * * * *",
            "*-5 * * * *",
            "1/2/3 * * * *",
            "@every 1h",
            "@noon",
            "TZ=UTC * * * * *",
        ] {
            assert!(Cron::parse(schedule, None).is_err(), "{schedule}");
        }
    }
}
