//! Resource quantities: `100m`, `1.5Gi`, `2e3`.
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>

use std::fmt;

/// Longest text read: more digits than this carry nothing a quantity can hold.
const TEXT_LENGTH_MAX: usize = 256;
/// Upstream: "no quantity may represent a number greater than 2^63-1 in magnitude"; larger ones are capped.
const NANO_MAX: i128 = i64::MAX as i128 * NANO;
const NANO: i128 = 1_000_000_000;
/// Significant digits kept where a binary suffix follows: 10²⁰ · 2⁶⁰ still fits 127 bits.
const DIGITS_MAX_BINARY: usize = 20;
/// Significant digits kept otherwise: 10³⁷ fits 127 bits.
const DIGITS_MAX_DECIMAL: usize = 37;
/// Past this power of ten every number is zero or capped.
const EXPONENT_MAX: i32 = 1000;

const SYNTAX: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const SUFFIX: &str = "unable to parse quantity's suffix";

/// An amount, exact to 10⁻⁹ as upstream's `resource.Quantity` rounds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Quantity {
    pub nano: i128,
}

impl Quantity {
    /// Reads the full grammar: sign, decimal digits, and a decimal, binary or exponent suffix.
    /// What is finer than 10⁻⁹ is rounded up (away from zero), what is larger than 2⁶³-1 is capped.
    pub fn parse(text: &str) -> Result<Quantity, String> {
        if text.len() > TEXT_LENGTH_MAX {
            return Err(format!("must be no more than {TEXT_LENGTH_MAX} bytes"));
        }
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || whole.len() + fraction.len() == 0 {
            return Err(SYNTAX.into());
        }
        let (power_of_two, power_of_ten) = parse_suffix(suffix)?;
        let digits_max = if power_of_two == 0 {
            DIGITS_MAX_DECIMAL
        } else {
            DIGITS_MAX_BINARY
        };

        // digits · 10^exponent, in nano units.
        let mut exponent = power_of_ten + 9 - fraction.len() as i32;
        let (mut mantissa, mut kept, mut inexact) = (0_i128, 0, false);
        for digit in whole
            .bytes()
            .chain(fraction.bytes())
            .map(|b| i128::from(b - b'0'))
        {
            if kept == digits_max {
                exponent += 1;
                inexact |= digit != 0;
                continue;
            }
            mantissa = mantissa * 10 + digit;
            kept += usize::from(mantissa != 0);
        }
        mantissa <<= power_of_two;
        let mut nano = mantissa;
        if nano != 0 {
            for _ in 0..exponent {
                nano = nano.saturating_mul(10);
                if nano > NANO_MAX {
                    break;
                }
            }
            for _ in exponent..0 {
                if nano == 0 {
                    break;
                }
                inexact |= nano % 10 != 0;
                nano /= 10;
            }
            nano = nano.saturating_add(i128::from(inexact)).min(NANO_MAX);
        }
        Ok(Quantity {
            nano: if negative { -nano } else { nano },
        })
    }

    /// Rounded up to whole units (bytes).
    pub fn value(self) -> i64 {
        self.rounded_up(NANO)
    }

    /// Rounded up to thousandths (CPU).
    pub fn milli(self) -> i64 {
        self.rounded_up(NANO / 1000)
    }

    /// Away from zero, as upstream's `ScaledValue`.
    fn rounded_up(self, unit: i128) -> i64 {
        let up = self.nano.unsigned_abs().div_ceil(unit.unsigned_abs());
        let up = i64::try_from(up).unwrap_or(i64::MAX);
        if self.nano < 0 { -up } else { up }
    }
}

/// The powers of two and ten that a suffix stands for.
fn parse_suffix(suffix: &str) -> Result<(u32, i32), String> {
    Ok(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let legal = |c: char| c.is_ascii_digit() || "eEinumkKMGTP+-".contains(c);
            if !suffix.chars().all(legal) {
                return Err(SYNTAX.into());
            }
            let digits = suffix.strip_prefix(['e', 'E']).ok_or(SUFFIX)?;
            let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
            if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
                return Err(SUFFIX.into());
            }
            let size = unsigned
                .parse::<i32>()
                .unwrap_or(EXPONENT_MAX)
                .min(EXPONENT_MAX);
            (0, if digits.starts_with('-') { -size } else { size })
        }
    })
}

/// Canonical decimal form: no fraction, the largest suffix that allows it.
impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
        if self.nano == 0 {
            return out.write_str("0");
        }
        let (mut amount, mut step) = (self.nano, 0);
        while amount % 1000 == 0 && step + 1 < SUFFIXES.len() {
            amount /= 1000;
            step += 1;
        }
        write!(out, "{amount}{}", SUFFIXES[step])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_grammar() {
        for (text, value, milli) in [
            ("0", 0, 0),
            ("1", 1, 1000),
            ("+1", 1, 1000),
            ("-1", -1, -1000),
            ("-1500m", -2, -1500),
            (".5", 1, 500),
            ("5.", 5, 5000),
            ("100m", 1, 100),
            ("1n", 1, 1),
            ("1500u", 1, 2),
            ("0.1n", 1, 1),
            ("1k", 1000, 1_000_000),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            ("128Mi", 134_217_728, 134_217_728_000),
            ("1Ki", 1024, 1_024_000),
            ("0.5Ki", 512, 512_000),
            ("2e3", 2000, 2_000_000),
            ("2E3", 2000, 2_000_000),
            ("2E-3", 1, 2),
            ("1E", 1_000_000_000_000_000_000, i64::MAX),
            ("7Ei", 8_070_450_532_247_928_832, i64::MAX),
            ("8Ei", i64::MAX, i64::MAX),
            ("-8Ei", -i64::MAX, -i64::MAX),
            ("1e99999999999", i64::MAX, i64::MAX),
            ("1e-99999999999", 1, 1),
            ("0e99", 0, 0),
            ("00000000000000000000000000000000000000000001", 1, 1000),
            (
                "99999999999999999999999999999999999999999999",
                i64::MAX,
                i64::MAX,
            ),
            ("1.00000000000000000000000000000000000000000001", 2, 1001),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!(
                (quantity.value(), quantity.milli()),
                (value, milli),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "", "-", ".", "1.2.3", "abc", "1 ", " 1", "1x", "1mm", "1ki", "1K", "1Kii", "1e",
            "1e+", "1e1.5", "1ee3", "--1", "0x1", "١", "1ä", "Ki", "NaN",
        ] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
        assert!(Quantity::parse(&"1".repeat(257)).is_err());
    }

    #[test]
    fn canonical() {
        for (text, want) in [
            ("1000m", "1"),
            ("0.1", "100m"),
            ("1Ki", "1024"),
            ("2000", "2k"),
            ("0", "0"),
            ("-1e6", "-1M"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), want);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-+0-9.eEinumkKMGTP]{0,40}") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let _ = (quantity.value(), quantity.milli());
            }
        }

        #[test]
        fn canonical_form_reads_back(value in any::<i64>()) {
            let quantity = Quantity { nano: i128::from(value) };
            prop_assert_eq!(Quantity::parse(&quantity.to_string()).unwrap(), quantity);
        }
    }
}
