//! Sizes and durations as operators write them (server surface 6.1).

use std::time::Duration;

/// Reads a size: a number with `B`, `K`/`KB` to `P`/`PB` (decimal) or `Ki`/`KiB` to `Pi`/`PiB` (binary), in any
/// case; without a unit it is bytes.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let unreadable = || format!("{text:?} is no size, such as 512MiB");
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| unreadable())?;
    let bytes = number * unit_bytes(&unit.trim().to_ascii_lowercase()).ok_or_else(unreadable)?;
    // The largest size that a double holds exactly is far above any machine.
    match (0.0..=9e15).contains(&bytes) {
        true => Ok(bytes as u64),
        false => Err(unreadable()),
    }
}

fn unit_bytes(unit: &str) -> Option<f64> {
    let unit = unit.strip_suffix('b').unwrap_or(unit);
    let (prefix, base) = match unit.strip_suffix('i') {
        Some(prefix) => (prefix, 1024.0_f64),
        None => (unit, 1000.0),
    };
    let power = match prefix {
        "" if base == 1000.0 => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    Some(base.powi(power))
}

/// Reads a duration in Go's syntax, such as `1h2m3.5s` or `500ms`; `0` needs no unit.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let unreadable = || format!("{text:?} is no duration, such as 1m30s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(unreadable)?;
        let (number, tail) = rest.split_at(split);
        let split = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(split);
        let number: f64 = number.parse().map_err(|_| unreadable())?;
        total += number * unit_seconds(unit).ok_or_else(unreadable)?;
        rest = tail;
    }
    match text.is_empty() {
        true => Err(unreadable()),
        false => Duration::try_from_secs_f64(total).map_err(|_| unreadable()),
    }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("16MiB", 16 << 20),
            ("16mi", 16 << 20),
            ("1.5k", 1_500),
            ("2GB", 2_000_000_000),
            ("1 PiB", 1 << 50),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "1x", "iB", "1i", "-1", "1..2K", "10000PB"] {
            assert!(parse_bytes(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [("0", 0), ("500ms", 500), ("1h2m3.5s", 3_723_500), ("1.5m", 90_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "5x", "-1s", "1h5", "s", "1.2.3s"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }
}
