//! Quantities that are added up and shown again: each remembers whether its author counts in powers of two.

use super::quantity::Quantity;
use std::fmt;

/// An amount, and the form it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    pub quantity: Quantity,
    /// `Ki`, `Mi`, …
    pub binary: bool,
}

impl Amount {
    pub fn parse(text: &str) -> Option<Amount> {
        let quantity = Quantity::parse(text).ok()?;
        let binary = text.ends_with('i');
        Some(Amount { quantity, binary })
    }

    pub fn count(number: usize) -> Amount {
        let nano = i128::try_from(number)
            .unwrap_or(i128::MAX)
            .saturating_mul(UNIT);
        Amount {
            quantity: Quantity { nano },
            binary: false,
        }
    }

    /// The sum, in the form of the first that is not zero (upstream's `Quantity.Add`).
    #[must_use]
    pub fn plus(self, other: Amount) -> Amount {
        Amount {
            quantity: Quantity {
                nano: self.quantity.nano.saturating_add(other.quantity.nano),
            },
            binary: if self.quantity.nano == 0 {
                other.binary
            } else {
                self.binary
            },
        }
    }

    /// What is left, never less than nothing.
    #[must_use]
    pub fn minus(self, other: Amount) -> Amount {
        let nano = self.quantity.nano.saturating_sub(other.quantity.nano);
        Amount {
            quantity: Quantity { nano: nano.max(0) },
            binary: self.binary,
        }
    }

    #[must_use]
    pub fn larger(self, other: Amount) -> Amount {
        if other.quantity > self.quantity {
            other
        } else {
            self
        }
    }

    pub fn is_zero(self) -> bool {
        self.quantity.nano == 0
    }
}

const UNIT: i128 = 1_000_000_000;

/// Canonical form: no fraction, the largest suffix that allows it.
impl fmt::Display for Amount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        let nano = self.quantity.nano;
        // Upstream, too, leaves powers of two for what is less than 1024 or no whole number.
        if !self.binary || nano % UNIT != 0 || (nano / UNIT).abs() < 1024 {
            return self.quantity.fmt(out);
        }
        let (mut amount, mut step) = (nano / UNIT, 0);
        while amount % 1024 == 0 && step + 1 < SUFFIXES.len() {
            amount /= 1024;
            step += 1;
        }
        write!(out, "{amount}{}", SUFFIXES[step])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sums_keep_their_form() {
        for (one, other, sum) in [
            ("512Mi", "512Mi", "1Gi"),
            ("0", "100Mi", "100Mi"),
            ("1Gi", "1M", "1074741824"),
            ("100m", "900m", "1"),
            ("1", "500m", "1500m"),
        ] {
            let sum_found = Amount::parse(one)
                .unwrap()
                .plus(Amount::parse(other).unwrap());
            assert_eq!(sum_found.to_string(), sum, "{one} + {other}");
        }
        let less = Amount::count(1).minus(Amount::count(3));
        assert!(less.is_zero());
    }
}
