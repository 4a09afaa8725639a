//! The queries of the client on logs (workload model, Q17 and Q18): pages must be complete, distinct and in order.

use std::sync::Arc;

use pipal_api::model::v1::condition::BinaryOp;
use pipal_api::model::v1::{Criteria, QueryOrder, Sort};
use pipal_api::stream::v1::{QueryRequest, QueryResponse};

use crate::data_model::DataModel;
use crate::query::prepared::{Prepared, QuerySource};
use crate::random::Random;
use crate::read::{and, condition, tags, text_value, texts_value, time_range};
use crate::rows::check::{keys_differ, none};
use crate::rows::logs::LogRows;
use crate::rows::progress::{Progress, Reach};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// Rows of a page.
const PAGE: u64 = 20;
/// A quarter of the pages are later ones, up to this one.
const PAGES: u64 = 4;
const ERROR_TAG: &str = "level=ERROR";

/// The tags that the client asks for: all but `tags`.
pub const LOG_COLUMNS: &[(&str, &[&str])] = &[
    ("searchable", &["content", "endpoint_id", "trace_id", "trace_segment_id", "unique_id"]),
    (
        "storage-only",
        &["content_type", "service_id", "service_instance_id", "span_id", "tags_raw_data", "timestamp"],
    ),
];

/// A request for log rows by time, newest first.
pub fn log_request(
    logs: &LogRows,
    (first_ms, last_ms): (i64, i64),
    criteria: Option<Criteria>,
) -> QueryRequest {
    QueryRequest {
        groups: vec![logs.group.clone()],
        name: "log".to_owned(),
        time_range: Some(time_range(first_ms, last_ms)),
        order_by: Some(QueryOrder { index_rule_name: String::new(), sort: Sort::Desc as i32 }),
        criteria,
        projection: tags(LOG_COLUMNS),
        ..Default::default()
    }
}

/// Queries on the acknowledged rows of a run.
#[derive(Debug, Clone)]
pub struct LogSource {
    pub logs: Arc<LogRows>,
    pub progress: Arc<Progress>,
}

impl LogSource {
    /// The last 15 to 30 minutes before the first row that is not acknowledged, and the rows in them.
    fn range(&self, reach: Reach, random: &mut Random) -> ((i64, i64), std::ops::Range<u64>) {
        let last_ms = self.logs.end_ms(reach) - 1;
        let first_ms = last_ms - (15 + random.below(16) as i64) * MINUTE_MS;
        let rows = self.logs.clock.first_row_at(first_ms)..self.logs.clock.first_row_at(last_ms + 1);
        ((first_ms, last_ms), rows)
    }

    fn prepared(&self, shape: &'static str, request: &QueryRequest, expected: Vec<u64>) -> Prepared {
        let logs = Arc::clone(&self.logs);
        let (rows, descending) = (expected.len(), expected);
        Prepared::call(shape, DataModel::Stream.query_path(), request, rows..=rows)
            .comparing(move |answer: &QueryResponse| compare_page(&logs, answer, &descending))
    }

    /// Q17: a page of the newest rows of a service, perhaps only of those with a tag.
    fn page(&self, shape: &'static str, tag: Option<&str>, random: &mut Random) -> Prepared {
        let reach = self.progress.reach();
        let (range, rows) = self.range(reach, random);
        let service = self.logs.entities.draw(random);
        let page = if random.chance(0.25) { 1 + random.below(PAGES - 1) } else { 0 };
        let mut criteria =
            condition("service_id", BinaryOp::Eq, text_value(self.logs.entities.service(service)));
        if let Some(tag) = tag {
            criteria = and(criteria, condition("tags", BinaryOp::Having, texts_value(vec![tag.to_owned()])));
        }
        let mut request = log_request(&self.logs, range, Some(criteria));
        (request.limit, request.offset) = (PAGE as u32, (page * PAGE) as u32);
        let fits = |row: &u64| tag.is_none_or(|tag| LogRows::level_tag(self.logs.level(*row)) == tag);
        let fitting = self.logs.rows_back(service, rows).filter(fits);
        let expected = fitting.skip((page * PAGE) as usize).take(PAGE as usize).collect();
        self.prepared(shape, &request, expected)
    }

    /// Q18: the rows of a trace.
    fn of_trace(&self, random: &mut Random) -> Prepared {
        let reach = self.progress.reach();
        let last_ms = self.logs.end_ms(reach) - 1;
        let row = random.below(reach.acknowledged);
        let request_rows = LogRows::rows_of_request(row);
        let carrying = |row: &u64| {
            *row < self.logs.clock.first_row_at(last_ms + 1) && self.logs.trace_id(*row).is_some()
        };
        let expected: Vec<u64> = request_rows.clone().rev().filter(carrying).collect();
        let trace_id = expected.first().and_then(|&row| self.logs.trace_id(row));
        // Where no row carries one, an id that nobody wrote must find nothing.
        let trace_id = trace_id.unwrap_or_else(|| format!("unknown.{row}"));
        let criteria = condition("trace_id", BinaryOp::Eq, text_value(&trace_id));
        let mut request = log_request(&self.logs, (last_ms - DAY_MS, last_ms), Some(criteria));
        request.limit = 100;
        self.prepared("Q18", &request, expected)
    }
}

/// Every row is one of those expected and as it was written, none occurs twice, and their times fall as expected. Rows of
/// one millisecond may come in any order.
fn compare_page(logs: &LogRows, answer: &QueryResponse, expected: &[u64]) -> Result<(), String> {
    let reach = Reach::complete(u64::MAX);
    let (rows, wrongs) = logs.compare_all(&answer.elements, &|row| reach.presence(row));
    none(&wrongs)?;
    let times = |rows: &[u64]| rows.iter().map(|&row| logs.clock.time_ms(row)).collect::<Vec<i64>>();
    if let Some(text) = keys_differ(&times(&rows), &times(expected)) {
        return Err(text);
    }
    // The limit may cut through the rows of the last millisecond; all others must be the very same.
    let last = expected.last().map_or(0, |&row| logs.clock.time_ms(row));
    match rows.iter().find(|row| logs.clock.time_ms(**row) != last && !expected.contains(row)) {
        Some(row) => Err(format!("row {row} does not belong to the answer")),
        None => Ok(()),
    }
}

impl QuerySource for LogSource {
    fn shapes(&self) -> &'static [&'static str] {
        &["Q17", "Q17H", "Q18"]
    }

    fn prepare(&self, shape: &str, random: &mut Random) -> Option<Prepared> {
        match shape {
            "Q17" => Some(self.page("Q17", None, random)),
            "Q17H" => Some(self.page("Q17H", Some(ERROR_TAG), random)),
            "Q18" => Some(self.of_trace(random)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::logs::tests::{element, rows};
    use pipal_api::stream::v1::Element;

    fn compare(logs: &LogRows, found: &[u64], expected: &[u64]) -> Result<(), String> {
        let elements: Vec<Element> = found.iter().map(|&row| element(logs, row)).collect();
        compare_page(logs, &QueryResponse { elements, ..Default::default() }, expected)
    }

    #[test]
    fn pages_must_be_complete_distinct_and_in_order() {
        let logs = rows(1);
        let expected = [900, 700, 500, 300];
        assert_eq!(compare(&logs, &expected, &expected), Ok(()));
        for wrong in [
            &[900, 700, 500][..],
            &[900, 500, 700, 300],
            &[900, 900, 500, 300],
            &[900, 700, 500, 100],
            &[901, 700, 500, 300],
        ] {
            assert!(compare(&logs, wrong, &expected).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_shape_expects_what_is_there() {
        let source = LogSource { logs: Arc::new(rows(1)), progress: Arc::new(Progress::complete(5_000)) };
        let mut random = Random::new(3);
        for shape in source.shapes() {
            let found = (0..20).filter_map(|_| source.prepare(shape, &mut random));
            let counts: Vec<usize> = found.map(|prepared| *prepared.rows.start()).collect();
            assert!(counts.len() == 20 && counts.iter().any(|&count| count > 0), "{shape}: {counts:?}");
        }
        assert!(source.prepare("Q1", &mut random).is_none());
    }
}
