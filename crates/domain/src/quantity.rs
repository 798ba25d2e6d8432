//! Kubernetes quantities ("500m", "1Gi", "1e3"), exactly.
//! Source: Kubernetes API conventions, `resource.Quantity`.

use std::{fmt, str::FromStr};

/// An amount in thousandths of its unit, exact; finer parts are rounded up, as Kubernetes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Quantity {
    milli: i128,
}

/// Why a text is not a quantity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct QuantityError;

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// If the text is not one, or is beyond any amount Kubernetes can hold.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        text.parse()
    }

    /// An amount of whole units.
    #[must_use]
    pub fn from_units(units: i64) -> Self {
        Self { milli: i128::from(units) * 1000 }
    }

    /// Thousandths; negative amounts give 0, amounts out of range the largest value.
    #[must_use]
    pub fn milli(self) -> u64 {
        u64::try_from(self.milli.max(0)).unwrap_or(u64::MAX)
    }

    /// Whole units, rounded up; negative amounts give 0, amounts out of range the largest value.
    #[must_use]
    pub fn units(self) -> u64 {
        let rounded = (self.milli.max(0) + 999) / 1000;
        u64::try_from(rounded).unwrap_or(u64::MAX)
    }

    /// True below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.milli < 0
    }
}

/// Numerator and denominator of a suffix, applied to thousandths.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1000 * 1024i128.pow(power), 1));
    let decimal = |power: u32| Some((1000 * 1000i128.pow(power), 1));
    match suffix {
        "n" => Some((1, 1_000_000)),
        "u" => Some((1, 1000)),
        "m" => Some((1, 1)),
        "" => decimal(0),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
            let power = 10i128.checked_pow(exponent.unsigned_abs()).filter(|_| exponent.abs() <= 18)?;
            Some(if exponent >= 0 { (1000 * power, 1) } else { (1000, power) })
        }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (sign, rest) = match text.as_bytes().first() {
            Some(b'-') => (-1, &text[1..]),
            Some(b'+') => (1, &text[1..]),
            _ => (1, text),
        };
        let split = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(split);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 24 {
            return Err(QuantityError);
        }
        let digits: i128 = format!("0{whole}{fraction}").parse().map_err(|_| QuantityError)?;
        let (numerator, denominator) = scale(suffix).ok_or(QuantityError)?;
        let power = u32::try_from(fraction.len()).map_err(|_| QuantityError)?;
        let denominator = 10i128.checked_pow(power).and_then(|p| p.checked_mul(denominator)).ok_or(QuantityError)?;
        let product = digits.checked_mul(numerator).ok_or(QuantityError)?;
        Ok(Self { milli: sign * ((product + denominator - 1) / denominator) })
    }
}

impl std::ops::Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { milli: self.milli + other.milli }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli % 1000 == 0 { write!(f, "{}", self.milli / 1000) } else { write!(f, "{}m", self.milli) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, milli: i128) {
        assert_eq!(text.parse::<Quantity>().map(|q| q.milli), Ok(milli), "{text}");
    }

    #[test]
    fn amounts_are_exact() {
        check("0", 0);
        check("500m", 500);
        check("2", 2000);
        check("0.5", 500);
        check("1.5Gi", 1_610_612_736_000);
        check("1e3", 1_000_000);
        check("12E-1", 1200);
        check("1E", 1_000_000_000_000_000_000_000);
        check("-1", -1000);
        check("100u", 1);
        check("1n", 1);
        check(".5", 500);
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for bad in ["", "m", "1.2.3", "1 Gi", "one", "1GiB", "--1", "1e99", "."] {
            assert_eq!(bad.parse::<Quantity>(), Err(QuantityError), "{bad}");
        }
    }
}
