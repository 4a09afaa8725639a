//! Results as text for people and as JSON for scripts, from one list of figures.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Map, Value, json};

use crate::latency::{Latencies, LatencySummary};
use crate::writer::WriteTotals;

/// Figures of one part of a run.
#[derive(Debug, Default)]
pub struct Section {
    title: String,
    figures: Vec<(String, Value)>,
}

/// A run's figures and verdict.
#[derive(Debug, Default)]
pub struct Report {
    sections: Vec<Section>,
    faults: Vec<String>,
    fault_count: u64,
}

impl Section {
    /// A part named `title`, in lower case with underscores.
    pub fn new(title: impl Into<String>) -> Self {
        Section { title: title.into(), figures: Vec::new() }
    }

    /// Adds one figure; the unit is the end of its name.
    pub fn figure(&mut self, name: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        self.figures.push((name.into(), value.into()));
        self
    }

    /// Adds the percentiles of a kind of call.
    pub fn latencies(&mut self, name: &str, latencies: &Latencies) -> &mut Self {
        let Some(summary) = latencies.summary() else { return self };
        let LatencySummary { count, dropped, min, mean, p50, p90, p95, p98, p99, max } = summary;
        let r = round3;
        let mut percentiles = json!({
            "count": count, "min": r(min), "mean": r(mean), "p50": r(p50), "p90": r(p90), "p95": r(p95),
            "p98": r(p98), "p99": r(p99), "max": r(max),
        });
        if dropped > 0
            && let Some(object) = percentiles.as_object_mut()
        {
            object.insert("not_recorded".into(), dropped.into());
        }
        self.figure(name, percentiles)
    }

    /// Adds what a writer did.
    pub fn writes(&mut self, totals: &WriteTotals) -> &mut Self {
        let seconds = totals.elapsed.as_secs_f64().max(1e-9);
        self.figure("points_sent", totals.points_sent)
            .figure("points_acknowledged", totals.points_acknowledged)
            .figure("streams", totals.streams)
            .figure("failed_streams", totals.failed_streams)
            .figure("streams_over_10_s", totals.late_streams)
            .figure("replies_not_success", totals.bad_replies)
            .figure("elapsed_s", round3(seconds))
            .figure("points_per_second", (totals.points_acknowledged as f64 / seconds).round())
            .figure(
                "sent_bytes_per_point",
                round3(totals.bytes_sent as f64 / totals.points_sent.max(1) as f64),
            )
            .latencies("acknowledgement_ms", &totals.acknowledgements)
            .figure("reads_checked", totals.reads_checked)
            .figure("reads_wrong", totals.reads_wrong)
    }
}

/// Three digits behind the point are enough for every figure here.
pub fn round3(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Report {
    /// Appends a part.
    pub fn push(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Appends one fault; the run then ends with a failure status.
    pub fn fault(&mut self, text: impl Into<String>) {
        self.fault_count += 1;
        self.faults.push(text.into());
    }

    /// Appends the faults of writing.
    pub fn write_faults(&mut self, totals: &WriteTotals) {
        if totals.is_clean() {
            return;
        }
        let missing = totals.points_sent - totals.points_acknowledged.min(totals.points_sent);
        self.fault(format!(
            "{} streams failed, {missing} points without success, {} reads wrong",
            totals.failed_streams, totals.reads_wrong
        ));
        totals.fault_texts.iter().for_each(|text| self.fault(text));
    }

    /// True if no fault was noted.
    pub fn is_clean(&self) -> bool {
        self.fault_count == 0
    }

    /// The whole report as one JSON object.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        for section in &self.sections {
            let figures: Map<String, Value> = section.figures.iter().cloned().collect();
            object.insert(section.title.clone(), figures.into());
        }
        object.insert("ok".into(), self.is_clean().into());
        object.insert("faults".into(), json!(self.faults));
        object.into()
    }

    /// The whole report as aligned text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            let _ = writeln!(text, "{}", readable(&section.title));
            let width = section.figures.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, value) in &section.figures {
                let _ = writeln!(text, "  {:width$}  {}", readable(name), value_text(value));
            }
        }
        if self.is_clean() {
            text.push_str("no faults\n");
        }
        for fault in &self.faults {
            let _ = writeln!(text, "FAULT {fault}");
        }
        text
    }

    /// Prints the report and gives the exit status: 0 without faults.
    pub fn print(&self, as_json: bool) -> std::process::ExitCode {
        let text = if as_json { format!("{}\n", self.to_json()) } else { self.to_text() };
        if let Err(error) = std::io::stdout().write_all(text.as_bytes())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            eprintln!("pipal-bench: cannot print the report: {error}");
            return std::process::ExitCode::from(2);
        }
        if self.is_clean() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
    }
}

/// Figures of a kind of call in reading order; others come first.
const PERCENTILES: [&str; 9] = ["count", "min", "mean", "p50", "p90", "p95", "p98", "p99", "max"];

fn readable(name: &str) -> String {
    name.replace('_', " ")
}

fn value_text(value: &Value) -> String {
    match value {
        // Percentiles come in the order in which people read them, not in that of their names.
        Value::Object(object) => {
            let place = |name: &str| PERCENTILES.iter().position(|known| *known == name);
            let mut parts: Vec<(&String, &Value)> = object.iter().collect();
            parts.sort_by_key(|(name, _)| place(name));
            let part = |(name, value): (&String, &Value)| format!("{} {}", readable(name), value_text(value));
            parts.into_iter().map(part).collect::<Vec<_>>().join("  ")
        }
        Value::Number(number) => grouped(&number.to_string()),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Puts commas between groups of three digits.
fn grouped(number: &str) -> String {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = whole.trim_start_matches('-').len();
    let mut text = String::new();
    for (i, digit) in whole.chars().enumerate() {
        let left = whole.len() - i;
        if digit.is_ascii_digit() && left % 3 == 0 && left < digits {
            text.push(',');
        }
        text.push(digit);
    }
    if !fraction.is_empty() && fraction != "0" {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (plain, text) in
            [("0", "0"), ("999", "999"), ("1000", "1,000"), ("-123456.5", "-123,456.5"), ("2.0", "2")]
        {
            assert_eq!(grouped(plain), text);
        }
    }

    #[test]
    fn text_and_json_hold_the_same_figures_and_the_verdict() {
        let mut report = Report::default();
        let mut section = Section::new("new_series");
        section.figure("points_per_second", 12_345);
        report.push(section);
        assert_eq!(report.to_json()["new_series"]["points_per_second"], 12_345);
        assert_eq!(report.to_json()["ok"], true);
        assert!(report.to_text().contains("points per second  12,345"), "{}", report.to_text());
        report.fault("a row is missing");
        assert_eq!(report.to_json()["ok"], false);
        assert!(report.to_text().contains("FAULT a row is missing"));
        assert!(!report.is_clean());
    }
}
