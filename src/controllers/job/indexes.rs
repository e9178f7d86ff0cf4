//! Sets of completion indexes, as a Job's status writes them: `0,2-5,7`.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode>

use std::fmt;

/// Intervals in order, with gaps between them: a fan-out of thousands stays a few bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexes(Vec<Interval>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    first: i32,
    last: i32,
}

impl Indexes {
    /// Those below `completions`; what cannot be read is left out.
    pub fn parse(text: &str, completions: i32) -> Indexes {
        let read = |part: &str| -> Option<Interval> {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            Some(Interval { first, last })
        };
        let below = |interval: Interval| Interval {
            last: interval.last.min(completions.saturating_sub(1)),
            ..interval
        };
        let all = text.split(',').filter_map(read).map(below);
        Indexes::joined(
            all.filter(|i| i.first >= 0 && i.first <= i.last && i.first < completions)
                .collect(),
        )
    }

    pub fn of(indexes: impl IntoIterator<Item = i32>) -> Indexes {
        let single = |index| Interval {
            first: index,
            last: index,
        };
        Indexes::joined(indexes.into_iter().map(single).collect())
    }

    fn joined(mut intervals: Vec<Interval>) -> Indexes {
        intervals.sort_unstable();
        let mut joined: Vec<Interval> = Vec::with_capacity(intervals.len());
        for interval in intervals {
            match joined.last_mut() {
                Some(last) if interval.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(interval.last);
                }
                _ => joined.push(interval),
            }
        }
        Indexes(joined)
    }

    pub fn union(&self, other: &Indexes) -> Indexes {
        Indexes::joined(self.0.iter().chain(&other.0).copied().collect())
    }

    /// How many indexes.
    pub fn count(&self) -> i32 {
        self.0.iter().fold(0, |sum, interval| {
            sum.saturating_add(interval.last - interval.first + 1)
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, index: i32) -> bool {
        let at = self.0.partition_point(|interval| interval.last < index);
        self.0.get(at).is_some_and(|i| i.first <= index)
    }

    /// How many of them are in both.
    pub fn overlap(&self, other: &Indexes) -> i32 {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut count = 0;
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            count += (a.last.min(b.last) - a.first.max(b.first) + 1).max(0);
            if a.last < b.last {
                mine.next();
            } else {
                theirs.next();
            }
        }
        count
    }

    /// Those below `completions` that are not in the set.
    pub fn missing(&self, completions: i32) -> impl Iterator<Item = i32> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|i| i.last.saturating_add(1)));
        let ends = self.0.iter().map(|i| i.first);
        let ends = ends.chain(std::iter::once(completions));
        starts
            .zip(ends)
            .flat_map(move |(start, end)| start..end.min(completions))
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Interval { first, last }) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{first}")?;
            match last - first {
                0 => {}
                1 => write!(f, ",{last}")?,
                _ => write!(f, "-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_short_and_read_back() {
        for (indexes, text) in [
            (vec![], ""),
            (vec![3], "3"),
            (vec![3, 4], "3,4"),
            (vec![5, 3, 4, 4, 0], "0,3-5"),
            (vec![0, 2, 4, 6, 7, 8, 9], "0,2,4,6-9"),
        ] {
            let set = Indexes::of(indexes);
            assert_eq!(set.to_string(), text);
            assert_eq!(Indexes::parse(text, 10), set);
        }
    }

    #[test]
    fn what_is_past_the_end_or_unreadable_is_left_out() {
        for (text, completions, expected) in [
            ("0-9", 4, "0-3"),
            ("2,9", 4, "2"),
            ("x,1,-3,5-4,2-y", 10, "1"),
            ("3-5,1,4-8", 10, "1,3-8"),
            ("0-2147483647", i32::MAX, "0-2147483646"),
            ("1", 0, ""),
        ] {
            let set = Indexes::parse(text, completions);
            assert_eq!(set.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn sets() {
        let set = Indexes::parse("0-2,5,8-9", 20);
        assert_eq!(set.count(), 6);
        assert!(set.contains(5) && set.contains(9) && !set.contains(4) && !set.contains(10));
        assert_eq!(set.overlap(&Indexes::parse("2-8", 20)), 3);
        assert_eq!(set.overlap(&Indexes::default()), 0);
        assert_eq!(set.missing(12).collect::<Vec<_>>(), [3, 4, 6, 7, 10, 11]);
        assert_eq!(set.missing(4).collect::<Vec<_>>(), [3]);
        assert_eq!(Indexes::default().missing(3).count(), 3);
        let both = set.union(&Indexes::of([3, 4, 10]));
        assert_eq!(both.to_string(), "0-5,8-10");
    }
}
