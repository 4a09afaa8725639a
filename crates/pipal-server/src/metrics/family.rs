//! Metric families: numbers with labels, kept without locks once a series is known.

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most series of one family. Group names come from clients; what goes beyond is counted under [`OVERFLOW`].
const MAX_SERIES: usize = 2_048;

/// The value of every label of the series that takes what goes beyond the maximum.
const OVERFLOW: &str = "other";

/// How the number of a series is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As it is.
    Count,
    /// Kept in nanoseconds, shown in seconds.
    Seconds,
}

/// Counters of one name, one per combination of label values.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    unit: Unit,
    labels: &'static [&'static str],
    series: RwLock<HashMap<LabelValues, Counter>>,
}

/// A series of a family. Adding to it takes no lock.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds in the unit in which the family keeps its numbers.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LabelValues(Box<[Box<str>]>);

impl Hash for LabelValues {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|value| value.hash(state));
    }
}

struct Wanted<'a>(&'a [&'a str]);

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|value| value.hash(state));
    }
}

impl Equivalent<LabelValues> for Wanted<'_> {
    fn equivalent(&self, key: &LabelValues) -> bool {
        self.0.iter().copied().eq(key.0.iter().map(|value| &**value))
    }
}

impl Family {
    /// A family of counters. `name` is the whole name that is shown.
    pub fn new(name: &'static str, unit: Unit, labels: &'static [&'static str]) -> Self {
        Family { name, unit, labels, series: RwLock::default() }
    }

    /// The series of these label values, in the order of the labels. It appears with its first use.
    pub fn with(&self, values: &[&str]) -> Counter {
        debug_assert_eq!(values.len(), self.labels.len(), "one value for each label of {}", self.name);
        if let Some(counter) = self.series.read().get(&Wanted(values)) {
            return counter.clone();
        }
        let mut series = self.series.write();
        let owned = match series.len() < MAX_SERIES {
            true => LabelValues(values.iter().map(|value| Box::from(*value)).collect()),
            false => LabelValues(values.iter().map(|_| Box::from(OVERFLOW)).collect()),
        };
        series.entry(owned).or_default().clone()
    }

    /// Appends the family in the Prometheus text format, series sorted by their labels.
    pub fn render(&self, out: &mut String) {
        let series = self.series.read();
        if series.is_empty() {
            return;
        }
        header(out, self.name, "counter");
        let mut sorted: Vec<_> = series.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        for (values, counter) in sorted {
            let labels: Vec<_> =
                self.labels.iter().copied().zip(values.0.iter().map(|value| &**value)).collect();
            match self.unit {
                Unit::Count => sample(out, self.name, &labels, counter.get() as f64),
                Unit::Seconds => sample(out, self.name, &labels, counter.get() as f64 / 1e9),
            }
        }
    }
}

/// Appends the lines that introduce a family. The help text is the name.
pub fn header(out: &mut String, name: &str, kind: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {name}\n# TYPE {name} {kind}");
}

/// Appends one sample.
pub fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    out.push_str(name);
    for (i, (label, text)) in labels.iter().enumerate() {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(out, "{}{label}=\"{escaped}\"", if i == 0 { '{' } else { ',' });
    }
    let _ = writeln!(out, "{} {value}", if labels.is_empty() { "" } else { "}" });
}

/// Appends a family of one unlabelled gauge.
pub fn gauge(out: &mut String, name: &str, value: f64) {
    header(out, name, "gauge");
    sample(out, name, &[], value);
}

/// Appends a family of one unlabelled counter.
pub fn counter(out: &mut String, name: &str, value: f64) {
    header(out, name, "counter");
    sample(out, name, &[], value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_appears_with_its_first_use_and_is_shown_escaped_and_sorted() {
        let family = Family::new("banyandb_x", Unit::Count, &["group", "method"]);
        let mut out = String::new();
        family.render(&mut out);
        assert_eq!(out, "");
        family.with(&["z", "get"]).add(2);
        family.with(&["a\"\\\n", "get"]).add(1);
        family.with(&["z", "get"]).add(1);
        family.render(&mut out);
        let expected = "# HELP banyandb_x banyandb_x\n# TYPE banyandb_x counter\n\
                        banyandb_x{group=\"a\\\"\\\\\\n\",method=\"get\"} 1\n\
                        banyandb_x{group=\"z\",method=\"get\"} 3\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn nanoseconds_are_shown_as_seconds() {
        let family = Family::new("latency", Unit::Seconds, &[]);
        family.with(&[]).add(1_500_000_000);
        let mut out = String::new();
        family.render(&mut out);
        assert!(out.ends_with("latency 1.5\n"), "{out}");
    }

    #[test]
    fn names_that_clients_invent_do_not_grow_a_family_without_end() {
        let family = Family::new("x", Unit::Count, &["group"]);
        for i in 0..2 * MAX_SERIES {
            family.with(&[&format!("g{i}")]).add(1);
        }
        assert_eq!(family.series.read().len(), MAX_SERIES + 1);
        assert_eq!(family.with(&[OVERFLOW]).get(), MAX_SERIES as u64);
    }
}
