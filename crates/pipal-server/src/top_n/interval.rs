//! The interval of a measure in nanoseconds: a Go duration (`1h30m`, `500ms`) or days (`7d`).

use pipal_model::time::DAY_NANOS;

const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Nanoseconds of an interval of at least one; none when the text is no such interval.
pub fn nanos_of(text: &str) -> Option<i64> {
    let nanos = match text.strip_suffix('d') {
        Some(days) => days.parse::<i64>().ok()?.checked_mul(DAY_NANOS)?,
        None => go_duration(text)?,
    };
    (nanos > 0).then_some(nanos)
}

/// The grammar of Go's `time.ParseDuration` without a minus sign.
fn go_duration(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0i128;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, unit_nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *unit_nanos)?)?;
        rest = tail;
    }
    i64::try_from(total).ok()
}

/// A decimal number of units in nanoseconds, cut.
fn scaled(number: &str, unit_nanos: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { i128::from(whole.parse::<i64>().ok()?) };
    // Eighteen digits are finer than a nanosecond of any unit.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<i128>().ok()? };
    let scale = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole.checked_mul(unit_nanos)?.checked_add(part * unit_nanos / scale)
}

#[cfg(test)]
mod tests {
    use super::nanos_of;

    #[test]
    fn intervals_are_positive_durations_or_days() {
        let minute = 60_000_000_000;
        let cases = [
            ("1m", Some(minute)),
            ("1h30m", Some(90 * minute)),
            ("1.5s", Some(1_500_000_000)),
            (".5ms", Some(500_000)),
            ("1d", Some(1_440 * minute)),
            ("0", None),
            ("", None),
            ("-1m", None),
            ("0d", None),
            ("1x", None),
            (".s", None),
            ("99999999999999h", None),
            ("106752d", None),
        ];
        for (text, want) in cases {
            assert_eq!(nanos_of(text), want, "{text:?}");
        }
    }
}
