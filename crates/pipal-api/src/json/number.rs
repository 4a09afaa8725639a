//! Numbers as JSON text: the shortest digits that read back as the same number.

use std::fmt::{Display, LowerExp, Write};

/// Below this magnitude numbers are written with an exponent.
const PLAIN_MIN: f64 = 1e-6;
/// From this magnitude on numbers are written with an exponent.
const PLAIN_END: f64 = 1e21;

/// Appends a number: `1`, `0.5`, `1e+21`, `1e-7`; what is no number becomes `"NaN"`, `"Infinity"`, `"-Infinity"`.
/// These are the forms of ECMAScript, which the clients of the gateway see from the founding implementation as well.
pub fn push<F: Copy + Into<f64> + Display + LowerExp>(out: &mut String, number: F) {
    let wide: f64 = number.into();
    if wide.is_nan() {
        out.push_str("\"NaN\"");
    } else if wide.is_infinite() {
        out.push_str(if wide > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else if wide == 0.0 || (PLAIN_MIN..PLAIN_END).contains(&wide.abs()) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{number}");
    } else {
        let start = out.len();
        let _ = write!(out, "{number:e}");
        if let Some(exponent) = out[start..].find('e').map(|at| start + at + 1)
            && !out[exponent..].starts_with('-')
        {
            out.insert(exponent, '+');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::push;

    #[track_caller]
    fn check(number: f64, expected: &str) {
        let mut out = String::new();
        push(&mut out, number);
        assert_eq!(out, expected);
    }

    #[test]
    fn numbers_take_the_shortest_form() {
        check(0.0, "0");
        check(-0.0, "-0");
        check(1.0, "1");
        check(-2.5, "-2.5");
        check(0.1 + 0.2, "0.30000000000000004");
        check(123_456_789_012_345_680_000.0, "123456789012345680000");
        check(1e21, "1e+21");
        check(-1.5e300, "-1.5e+300");
        check(0.000_001, "0.000001");
        check(0.000_000_12, "1.2e-7");
        check(5e-324, "5e-324");
        check(f64::NAN, "\"NaN\"");
        check(f64::NEG_INFINITY, "\"-Infinity\"");
    }
}
