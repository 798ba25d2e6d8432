//! Canonical forms of quantities and times, as Go writes them back.
//! Source: apimachinery `pkg/api/resource/quantity.go`, `pkg/apis/meta/v1/{time,micro_time}.go`.

use jiff::Timestamp;

/// The canonical text of a quantity: `0.5` → `500m`, `1024Mi` → `1Gi`, `1000` → `1k`; none if it is not one.
#[must_use]
pub fn canonical_quantity(text: &str) -> Option<String> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let split = unsigned.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 30 {
        return None;
    }
    let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let sign = if text.starts_with('-') && mantissa != 0 { "-" } else { "" };
    let body = match form(suffix)? {
        Form::Binary(power) => binary(mantissa, places, power)?,
        Form::Decimal(exponent) => decimal(mantissa, exponent - places, suffix_of)?,
        Form::Exponent(exponent) => decimal(mantissa, exponent - places, |e| (e != 0).then(|| format!("e{e}")))?,
    };
    Some(format!("{sign}{body}"))
}

enum Form {
    Binary(u32),
    Decimal(i32),
    Exponent(i32),
}

fn form(suffix: &str) -> Option<Form> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [(&str, i32); 10] =
        [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    if let Some(index) = BINARY.iter().position(|s| *s == suffix) {
        return u32::try_from(index + 1).ok().map(Form::Binary);
    }
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some(Form::Decimal(*exponent));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (exponent.abs() <= 24).then_some(Form::Exponent(exponent))
}

fn suffix_of(exponent: i32) -> Option<String> {
    let suffix = match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => return None,
    };
    Some(suffix.to_owned())
}

/// Powers of 1024 as long as nothing is lost; below 1024 and where a fraction remains, decimal.
fn binary(mantissa: i128, places: i32, power: u32) -> Option<String> {
    let scaled = mantissa.checked_mul(1024i128.checked_pow(power)?)?;
    let divisor = 10i128.checked_pow(places.unsigned_abs())?;
    if scaled % divisor != 0 || scaled / divisor < 1024 {
        let (value, shift) = if scaled % divisor == 0 { (scaled / divisor, 0) } else { (scaled, -places) };
        return decimal(value, shift, suffix_of);
    }
    let (mut value, mut index) = (scaled / divisor, 0);
    while value % 1024 == 0 && index < 6 {
        value /= 1024;
        index += 1;
    }
    let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].get(index)?;
    Some(format!("{value}{suffix}"))
}

/// The shortest mantissa with an exponent that is a multiple of three; parts below a nano are rounded up.
fn decimal(mut mantissa: i128, mut exponent: i32, suffix: impl Fn(i32) -> Option<String>) -> Option<String> {
    if mantissa == 0 {
        return Some("0".to_owned());
    }
    while exponent < -9 {
        mantissa = mantissa / 10 + i128::from(mantissa % 10 != 0);
        exponent += 1;
    }
    while mantissa % 10 == 0 {
        mantissa /= 10;
        exponent += 1;
    }
    while exponent.rem_euclid(3) != 0 || exponent > 18 {
        mantissa = mantissa.checked_mul(10)?;
        exponent -= 1;
    }
    Some(format!("{mantissa}{}", suffix(exponent).unwrap_or_default()))
}

/// RFC 3339 in UTC with whole seconds; none if it is not a time.
#[must_use]
pub fn canonical_time(text: &str) -> Option<String> {
    let time: Timestamp = text.parse().ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// RFC 3339 in UTC with microseconds; none if it is not a time.
#[must_use]
pub fn canonical_micro_time(text: &str) -> Option<String> {
    let time: Timestamp = text.parse().ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, canonical: &str) {
        assert_eq!(canonical_quantity(text).as_deref(), Some(canonical), "{text}");
    }

    #[test]
    fn quantities_are_written_as_go_does() {
        for (text, canonical) in [
            ("0", "0"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("100", "100"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1Ki", "1Ki"),
            ("1023", "1023"),
            ("1e3", "1e3"),
            ("12e2", "1200"),
            ("-1", "-1"),
            ("+2", "2"),
            ("100M", "100M"),
            ("0.1n", "1n"),
            ("1.0", "1"),
            ("2000k", "2M"),
            ("256Mi", "256Mi"),
            ("1000Ki", "1000Ki"),
            ("1E", "1E"),
            ("0Gi", "0"),
        ] {
            check(text, canonical);
        }
        for bad in ["", "x", "1.2.3", "1GiB", "m", "."] {
            assert_eq!(canonical_quantity(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(canonical_time("2026-01-02T03:04:05.9+02:00").as_deref(), Some("2026-01-02T01:04:05Z"));
        assert_eq!(canonical_micro_time("2026-01-02T03:04:05Z").as_deref(), Some("2026-01-02T03:04:05.000000Z"));
        assert_eq!(canonical_time("yesterday"), None);
    }
}
