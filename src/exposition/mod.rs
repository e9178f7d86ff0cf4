//! Prometheus' text format, written.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
//!
//! For: everything here that has a `/metrics`. In come families and samples, out goes text. A family is written whole
//! before the next begins, as the format asks. It knows nothing of what is measured.

mod process;

pub use process::process;

use std::fmt::{Display, Write};

/// `Content-Type` of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text so far.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    /// Begins a family; samples follow.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Page {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name = name;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self
    }

    /// One sample of the family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Page {
        self.sample_at(labels, value, None)
    }

    /// One sample, with the time it was taken at (Unix milliseconds).
    pub fn sample_at(
        &mut self,
        labels: &[(&str, &str)],
        value: impl Display,
        at_ms: Option<i64>,
    ) -> &mut Page {
        self.line("", labels, value, at_ms)
    }

    /// A histogram: counts per bucket (not yet summed up), each with its upper bound; what is above them in `above`.
    pub fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        buckets: &[(f64, u64)],
        above: u64,
        sum: f64,
    ) -> &mut Page {
        let mut count = 0;
        for (bound, in_bucket) in buckets {
            count += in_bucket;
            let bound = bound.to_string();
            let with_bound = [labels, &[("le", bound.as_str())]].concat();
            self.line("_bucket", &with_bound, count, None);
        }
        count += above;
        let with_bound = [labels, &[("le", "+Inf")]].concat();
        self.line("_bucket", &with_bound, count, None);
        self.line("_sum", labels, sum, None);
        self.line("_count", labels, count, None)
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl Display,
        at_ms: Option<i64>,
    ) -> &mut Page {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (number, (name, text)) in labels.iter().enumerate() {
            self.text.push(if number == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            for character in text.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = write!(self.text, " {value}");
        if let Some(at_ms) = at_ms {
            let _ = write!(self.text, " {at_ms}");
        }
        self.text.push('\n');
        self
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// Nanoseconds as seconds, without a float's rounding: `1.000000005`.
#[derive(Debug, Clone, Copy)]
pub struct Seconds(pub u64);

impl Display for Seconds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NANO: u64 = 1_000_000_000;
        match (self.0 / NANO, self.0 % NANO) {
            (whole, 0) => write!(formatter, "{whole}"),
            (whole, rest) => write!(formatter, "{whole}.{rest:09}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_samples_and_escapes() {
        let mut page = Page::default();
        page.family("up", Kind::Gauge, "Whether it is up.")
            .sample(&[], 1)
            .sample(&[("a", "x\"y\\z\n"), ("b", "")], Seconds(1_500_000_000))
            .sample_at(&[("a", "t")], 2, Some(99));
        page.family("took", Kind::Histogram, "Time.").histogram(
            &[("v", "get")],
            &[(0.5, 2), (1.0, 1)],
            1,
            7.25,
        );
        assert_eq!(
            page.finish(),
            "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n\
             up{a=\"x\\\"y\\\\z\\n\",b=\"\"} 1.500000000\nup{a=\"t\"} 2 99\n\
             # HELP took Time.\n# TYPE took histogram\ntook_bucket{v=\"get\",le=\"0.5\"} 2\n\
             took_bucket{v=\"get\",le=\"1\"} 3\ntook_bucket{v=\"get\",le=\"+Inf\"} 4\n\
             took_sum{v=\"get\"} 7.25\ntook_count{v=\"get\"} 4\n"
        );
    }
}
