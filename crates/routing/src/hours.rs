//! Opening hours of a route: `Mon-Fri 08:00-18:00 Europe/Berlin`, several separated by `;`.
//!
//! Local civil time is compared, so a change to or from summer time moves nothing. No clock is read here.

use crate::digits::serde_by_text;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sip::clock::Wall;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// When a route is open.
#[derive(Clone)]
pub struct Hours {
    text: Arc<str>,
    zone: TimeZone,
    /// Minutes of the local week from Monday 00:00, in order, none over the end of the week.
    open: Arc<[Range<u16>]>,
}

/// Why some text is no opening hours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadHours {
    /// Not days, times and a zone.
    #[error("hours are days, times and a time zone, for example `Mon-Fri 08:00-18:00 Europe/Berlin`")]
    Form,
    /// No such day.
    #[error("`{0}` is no day; write Mon, Tue, Wed, Thu, Fri, Sat or Sun")]
    Day(String),
    /// No such time of day.
    #[error("`{0}` is no time of day; write 08:00 to 24:00")]
    Time(String),
    /// No such zone.
    #[error("`{0}` is no time zone; write one of the IANA names, for example Europe/Berlin")]
    Zone(String),
    /// Two ranges in two zones.
    #[error("the ranges name two time zones; give each its own route")]
    Zones,
}

impl Hours {
    /// Whether it is open at `at`.
    #[must_use]
    pub fn open_at(&self, at: Wall) -> bool {
        let Some(time) = i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()) else {
            return false;
        };
        let local = self.zone.to_datetime(time);
        let day = u16::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0);
        let minute = u16::try_from(i16::from(local.hour()) * 60 + i16::from(local.minute())).unwrap_or(0);
        let minute = day * DAY + minute;
        self.open.iter().any(|range| range.contains(&minute))
    }

    /// As the operator wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether both can be open at one moment, or might be because their zones differ.
    #[must_use]
    pub fn may_overlap(&self, other: &Self) -> bool {
        self.zone != other.zone
            || self.open.iter().any(|a| other.open.iter().any(|b| a.start < b.end && b.start < a.end))
    }
}

impl FromStr for Hours {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<Self, BadHours> {
        let mut zone_name: Option<&str> = None;
        let mut open = Vec::new();
        for part in text.split(';') {
            let mut words = part.split_whitespace();
            let (Some(days), Some(times)) = (words.next(), words.next()) else { return Err(BadHours::Form) };
            match (words.next(), zone_name) {
                (Some(here), Some(before)) if here != before => return Err(BadHours::Zones),
                (Some(here), _) => zone_name = Some(here),
                (None, _) => {}
            }
            if words.next().is_some() {
                return Err(BadHours::Form);
            }
            let (from, to) = parse_times(times)?;
            for day in parse_days(days)? {
                add_range(&mut open, day, from, to);
            }
        }
        let zone_name = zone_name.ok_or(BadHours::Form)?;
        let zone = TimeZone::get(zone_name).map_err(|_| BadHours::Zone(zone_name.to_owned()))?;
        open.sort_by_key(|range| range.start);
        Ok(Self { text: text.into(), zone, open: open.into() })
    }
}

/// A range that passes midnight belongs to the day on which it begins; Sunday's runs on into Monday.
fn add_range(open: &mut Vec<Range<u16>>, day: u16, from: u16, to: u16) {
    let start = day * DAY + from;
    let end = day * DAY + if to > from { to } else { to + DAY };
    open.push(start..end.min(WEEK));
    if end > WEEK {
        open.push(0..end - WEEK);
    }
}

fn parse_days(text: &str) -> Result<Vec<u16>, BadHours> {
    if text.eq_ignore_ascii_case("daily") {
        return Ok((0..7).collect());
    }
    let mut days = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => days.push(parse_day(part)?),
            Some((first, last)) => {
                let (first, last) = (parse_day(first)?, parse_day(last)?);
                let count = (last + 7 - first) % 7;
                days.extend((0..=count).map(|step| (first + step) % 7));
            }
        }
    }
    days.sort_unstable();
    days.dedup();
    Ok(days)
}

fn parse_day(text: &str) -> Result<u16, BadHours> {
    let found = DAYS.iter().position(|day| text.eq_ignore_ascii_case(day));
    found.and_then(|at| u16::try_from(at).ok()).ok_or_else(|| BadHours::Day(text.to_owned()))
}

fn parse_times(text: &str) -> Result<(u16, u16), BadHours> {
    let (from, to) = text.split_once('-').ok_or(BadHours::Form)?;
    let (from_minute, to_minute) = (parse_time(from)?, parse_time(to)?);
    if from_minute == DAY {
        return Err(BadHours::Time(from.to_owned()));
    }
    Ok((from_minute, to_minute))
}

fn parse_time(text: &str) -> Result<u16, BadHours> {
    let bad = || BadHours::Time(text.to_owned());
    let (hour, minute) = text.split_once(':').ok_or_else(bad)?;
    if hour.len() != 2 || minute.len() != 2 {
        return Err(bad());
    }
    let (hour, minute): (u16, u16) = (hour.parse().map_err(|_| bad())?, minute.parse().map_err(|_| bad())?);
    let total = hour * 60 + minute;
    if minute < 60 && total <= DAY { Ok(total) } else { Err(bad()) }
}

impl PartialEq for Hours {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Hours {}

impl Hash for Hours {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

serde_by_text!(Hours, "opening hours");

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Wall {
        crate::time::read(text).unwrap()
    }

    fn open(hours: &str, time: &str) -> bool {
        hours.parse::<Hours>().unwrap().open_at(at(time))
    }

    #[test]
    fn a_range_opens_at_its_first_minute_and_closes_at_its_last() {
        let hours = "Mon-Fri 08:00-18:00 UTC";
        assert!(!open(hours, "2026-11-20T07:59:59Z"));
        assert!(open(hours, "2026-11-20T08:00:00Z"));
        assert!(open(hours, "2026-11-20T17:59:59.999Z"));
        assert!(!open(hours, "2026-11-20T18:00:00Z"));
        assert!(!open(hours, "2026-11-21T12:00:00Z"), "a Saturday");
    }

    #[test]
    fn hours_are_those_of_the_zone_in_summer_and_winter() {
        let hours = "Daily 08:00-18:00 Europe/Berlin";
        assert!(open(hours, "2026-01-05T07:00:00Z") && !open(hours, "2026-01-05T06:59:00Z"));
        assert!(open(hours, "2026-07-06T06:00:00Z") && !open(hours, "2026-07-06T05:59:00Z"));
    }

    #[test]
    fn a_range_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let hours = "Sun 22:00-06:00 UTC";
        assert!(open(hours, "2026-11-22T23:00:00Z"));
        assert!(open(hours, "2026-11-23T05:59:00Z"), "Monday morning");
        assert!(!open(hours, "2026-11-22T05:59:00Z"), "Sunday morning");
    }

    #[test]
    fn several_ranges_and_days_may_be_named() {
        let hours = "Mon,Wed 08:00-12:00 UTC; Sat-Mon 20:00-24:00";
        assert!(open(hours, "2026-11-18T09:00:00Z"), "Wednesday");
        assert!(!open(hours, "2026-11-17T09:00:00Z"), "Tuesday");
        assert!(open(hours, "2026-11-22T23:59:00Z"), "Sunday");
        assert!(!open(hours, "2026-11-24T20:00:00Z"), "Tuesday");
    }

    #[test]
    fn equal_times_are_a_whole_day() {
        assert!(open("Sat 00:00-00:00 UTC", "2026-11-21T23:59:00Z"));
        assert!(!open("Sat 00:00-00:00 UTC", "2026-11-22T00:00:00Z"));
    }

    #[test]
    fn two_zones_are_refused() {
        let error = "Mon 08:00-09:00 UTC; Tue 08:00-09:00 Europe/Berlin".parse::<Hours>().unwrap_err();
        assert_eq!(error, BadHours::Zones);
    }
}
