//! The text form of a measure's interval: a Go duration (`1h30m`, `500ms`, `-1.5s`, `0`) or days (`7d`).

/// Units of a Go duration.
const UNITS: [&str; 8] = ["ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "s", "m", "h"];

/// True when the text is an interval.
pub fn is_valid(text: &str) -> bool {
    is_days(text) || is_go_duration(text)
}

fn is_days(text: &str) -> bool {
    let Some(number) = text.strip_suffix('d') else { return false };
    number.parse::<i64>().is_ok()
}

/// The grammar of Go's `time.ParseDuration`: an optional sign, then numbers with a fraction and a unit each;
/// only zero goes without a unit.
fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        let points = number.len() - digits;
        if digits == 0 || points > 1 || !UNITS.contains(&unit) {
            return false;
        }
        rest = tail;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn durations_and_days() {
        for text in
            ["1m", "1h", "1d", "7d", "0", "-1.5h", "+5s", "1h15m30.918s", "100ms", ".5s", "1.s", "3\u{b5}s"]
        {
            assert!(is_valid(text), "{text} is an interval");
        }
        for text in ["", "7", "d", "1.5d", "m", "1x", "1 m", "1m ", "1.2.3s", ".s", "-", "1h7", "1m1d"] {
            assert!(!is_valid(text), "{text:?} is no interval");
        }
    }
}
