//! When a token's times can be believed: pure.
//!
//! Boards have no clock of their own. Until somebody tells them the time they believe an old one, and a token made then
//! bears it. Three rules follow:
//! 1. A clock that stands before this program was built is wrong, and no token is judged by it.
//! 2. A token whose own time of issue is before that was made by such a clock. If it is bound to an object, that
//!    object's life is its life; unbound, it ends as soon as the clock is right, for nothing else would ever end it.
//! 3. Otherwise the token's times count.

use super::Claims;

/// A day before which no clock can be right: when this was built, as the builder says it
/// (<https://reproducible-builds.org/specs/source-date-epoch/>), or when these lines were last looked at.
pub const FLOOR_SECONDS: i64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => match i64::from_str_radix(text, 10) {
        Ok(seconds) if seconds > WRITTEN_SECONDS => seconds,
        _ => WRITTEN_SECONDS,
    },
    None => WRITTEN_SECONDS,
};

/// 2026-11-01.
const WRITTEN_SECONDS: i64 = 1_793_491_200;

/// Two nodes' clocks may differ by this much: a fresh token of one is good at the other.
const SLACK_SECONDS: i64 = 300;

/// How a token stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Good,
    Early,
    Expired,
}

/// Judges `claims` by the clock `now`; both in Unix seconds, with `floor` as the earliest time that can be right.
pub fn standing(claims: &Claims, now: i64, floor: i64) -> Standing {
    if now < floor {
        return Standing::Good;
    }
    if claims.issued_at < floor {
        return if claims.bound().is_some() {
            Standing::Good
        } else {
            Standing::Expired
        };
    }
    if now > claims.expires_at {
        Standing::Expired
    } else if now.saturating_add(SLACK_SECONDS) < claims.not_before {
        Standing::Early
    } else {
        Standing::Good
    }
}

#[cfg(test)]
mod tests {
    use super::super::claims::{Bound, Object};
    use super::*;

    #[test]
    fn a_wrong_clock_judges_nobody_and_a_right_one_everybody() {
        let claims = |issued_at: i64, bound: bool| Claims {
            issued_at,
            not_before: issued_at,
            expires_at: issued_at + 3600,
            pod: bound.then(|| Object::new("p", "u")),
            ..Claims::default()
        };
        let floor = 1_000_000;
        for (issued_at, bound, now, expected) in [
            (floor + 10, false, floor + 20, Standing::Good),
            (floor + 10, false, floor + 3610, Standing::Good),
            (floor + 10, false, floor + 3611, Standing::Expired),
            (floor + 10, true, floor + 3611, Standing::Expired),
            (floor + 1000, true, floor + 800, Standing::Good),
            (floor + 1000, true, floor + 600, Standing::Early),
            // The clock fell back to 1970: nobody is judged.
            (floor + 10, false, 5, Standing::Good),
            // Made by a clock that was wrong then.
            (100, true, floor + 5000, Standing::Good),
            (100, false, floor + 5000, Standing::Expired),
            (100, false, 200, Standing::Good),
        ] {
            let claims = claims(issued_at, bound);
            assert_eq!(
                standing(&claims, now, floor),
                expected,
                "{issued_at} {bound} {now}"
            );
            assert_eq!(matches!(claims.bound(), Some(Bound::Pod(_))), bound);
        }
    }
}
