//! Reads all rows of a run back: every acknowledged one exactly once, as it was written, and none that nobody sent.

use bytes::Bytes;
use pipal_api::model::v1::condition::BinaryOp;
use pipal_api::stream::v1::QueryResponse as LogResponse;
use pipal_api::trace::v1::QueryResponse as TraceResponse;
use prost::Message;

use crate::connection::Connections;
use crate::data_model::DataModel;
use crate::read::{ANSWER_BYTES_MAX, condition, tags, text_value, texts_value};
use crate::rows::check::{Wrong, none};
use crate::rows::log_queries::log_request;
use crate::rows::logs::{LogRows, SEARCHABLE, STORAGE_ONLY};
use crate::rows::progress::Presence;
use crate::rows::segment_queries::trace_request;
use crate::rows::segments::{SEGMENT_TAGS, SegmentRows};
use crate::verify::{Fault, Verification};
use crate::write_stream::call;

/// Log rows asked for at once; 4 KB each at most, so that an answer stays below the client's limit.
const PAGE_ROWS: u64 = 2_000;
/// Traces asked for at once: some 850 segments of at most 3.5 KB.
const PAGE_TRACES: u64 = 100;

/// What the reader may expect of each row.
pub type Expectation<'a> = &'a (dyn Fn(u64) -> Presence + Sync);

/// Sends an encoded query and decodes the answer.
pub async fn ask<Answer: Message + Default>(
    connections: &Connections,
    model: DataModel,
    request: &impl Message,
) -> Result<Answer, String> {
    let encoded = Bytes::from(request.encode_to_vec());
    let answer = call(connections.take()?, model.query_path(), encoded, ANSWER_BYTES_MAX).await;
    let answer = answer
        .map_err(|status| format!("query {}: {:?}: {}", model.name(), status.code(), status.message()))?;
    Answer::decode(answer).map_err(|error| format!("unreadable answer: {error}"))
}

fn note_all(verification: &mut Verification, wrongs: Vec<Wrong>) {
    for Wrong { fault, text } in wrongs {
        verification.note(fault, || text);
    }
}

fn judge_logs(
    logs: &LogRows,
    page: std::ops::Range<u64>,
    answer: &LogResponse,
    presence: Expectation<'_>,
) -> Verification {
    let mut verification = Verification { rows: answer.elements.len() as u64, ..Default::default() };
    let (found, wrongs) = logs.compare_all(&answer.elements, presence);
    note_all(&mut verification, wrongs);
    let found: std::collections::HashSet<u64> = found.into_iter().collect();
    for row in page.filter(|&row| presence(row) == Presence::Must) {
        verification.expected += 1;
        if !found.contains(&row) {
            verification.note(Fault::Lost, || format!("log row {row}"));
        }
    }
    verification
}

/// Reads all log rows below `rows`, page after page by time, with all their tags.
pub async fn verify_logs(
    connections: &Connections,
    logs: &LogRows,
    rows: u64,
    presence: Expectation<'_>,
) -> Result<Verification, String> {
    let mut total = Verification::default();
    let mut first_ms = logs.clock.start_ms;
    while logs.clock.first_row_at(first_ms) < rows {
        let first = logs.clock.first_row_at(first_ms);
        // A page ends in front of the millisecond of its first row too many.
        let end_ms = logs.clock.time_ms(first + PAGE_ROWS).max(first_ms + 1);
        let page = first..logs.clock.first_row_at(end_ms);
        let mut request = log_request(logs, (first_ms, end_ms - 1), None);
        request.projection = tags(&[("searchable", &SEARCHABLE), ("storage-only", &STORAGE_ONLY)]);
        // Twice the page: a duplicate must not hide behind the limit.
        request.limit = (2 * (page.end - page.start) + 1) as u32;
        let answer: LogResponse = ask(connections, DataModel::Stream, &request).await?;
        total.absorb(judge_logs(logs, page, &answer, presence));
        first_ms = end_ms;
    }
    Ok(total)
}

/// Reads one acknowledged log row back, by its service and time.
pub async fn read_log(connections: &Connections, logs: &LogRows, row: u64) -> Result<(), String> {
    let time = logs.clock.time_ms(row);
    let service = logs.entities.service(logs.service(row));
    let criteria = condition("service_id", BinaryOp::Eq, text_value(service));
    let mut request = log_request(logs, (time, time), Some(criteria));
    request.limit = PAGE_ROWS as u32;
    let answer: LogResponse = ask(connections, DataModel::Stream, &request).await?;
    let (rows, wrongs) = logs.compare_all(&answer.elements, &|_| Presence::May);
    none(&wrongs)?;
    if rows.contains(&row) { Ok(()) } else { Err(format!("log row {row} is not among {rows:?}")) }
}

/// Reads the trace of an acknowledged segment back.
pub async fn read_trace(
    connections: &Connections,
    segments: &SegmentRows,
    row: u64,
    presence: Expectation<'_>,
) -> Result<(), String> {
    let number = segments.trace(row);
    // What is acknowledged while the query runs need not be in its answer.
    let must: Vec<u64> = segments.rows_of(number).filter(|&row| presence(row) == Presence::Must).collect();
    let time = segments.clock.time_ms(row);
    let criteria = condition("trace_id", BinaryOp::Eq, text_value(&segments.trace_id(number)));
    let request = trace_request(segments, (segments.clock.start_ms, time), Some(criteria), "", 10);
    let answer: TraceResponse = ask(connections, DataModel::Trace, &request).await?;
    let presence = |row| if must.contains(&row) { Presence::Must } else { presence(row).at_most_may() };
    let [trace] = answer.traces.as_slice() else {
        return Err(format!("{} traces instead of 1 for trace {number}", answer.traces.len()));
    };
    none(&segments.compare(trace, &presence))
}

fn judge_traces(
    segments: &SegmentRows,
    traces: std::ops::Range<u64>,
    answer: &TraceResponse,
    presence: Expectation<'_>,
) -> Verification {
    let mut verification = Verification::default();
    let mut found = std::collections::HashSet::new();
    for trace in &answer.traces {
        verification.rows += trace.spans.len() as u64;
        note_all(&mut verification, segments.compare(trace, presence));
        if let Ok(number) = segments.trace_number(trace)
            && !found.insert(number)
        {
            verification.note(Fault::Duplicated, || format!("trace {number}"));
        }
    }
    for number in traces {
        for row in segments.rows_of(number).filter(|&row| presence(row) == Presence::Must) {
            verification.expected += 1;
            if !found.contains(&number) {
                verification.note(Fault::Lost, || format!("segment {row} of trace {number}"));
            }
        }
    }
    verification
}

/// Reads all traces with segments below `rows` by their ids, with all tags.
pub async fn verify_segments(
    connections: &Connections,
    segments: &SegmentRows,
    rows: u64,
    presence: Expectation<'_>,
) -> Result<Verification, String> {
    let mut total = Verification::default();
    let range = (segments.clock.start_ms, segments.clock.time_ms(rows));
    let traces = if rows == 0 { 0 } else { segments.traces_below(rows) };
    for first in (0..traces).step_by(PAGE_TRACES as usize) {
        let page = first..(first + PAGE_TRACES).min(traces);
        let ids = page.clone().map(|number| segments.trace_id(number)).collect();
        let criteria = condition("trace_id", BinaryOp::In, texts_value(ids));
        let limit = 2 * PAGE_TRACES as usize + 1;
        let mut request = trace_request(segments, range, Some(criteria), "", limit);
        request.tag_projection = SEGMENT_TAGS.map(str::to_owned).into();
        let answer: TraceResponse = ask(connections, DataModel::Trace, &request).await?;
        total.absorb(judge_traces(segments, page, &answer, presence));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::progress::Reach;
    use crate::rows::{logs, segments};

    #[test]
    fn lost_and_doubled_rows_of_a_page_are_counted() {
        let rows = logs::tests::rows(1);
        let judge = |found: &[u64]| {
            let elements = found.iter().map(|&row| logs::tests::element(&rows, row)).collect();
            let answer = LogResponse { elements, ..Default::default() };
            let reach = Reach { acknowledged: 4, sent: 6 };
            let judged = judge_logs(&rows, 0..6, &answer, &|row| reach.presence(row));
            (judged.expected, judged.lost, judged.duplicated, judged.foreign)
        };
        assert_eq!(judge(&[0, 1, 2, 3]), (4, 0, 0, 0));
        assert_eq!(judge(&[5, 4, 3, 2, 1, 0]), (4, 0, 0, 0));
        assert_eq!(judge(&[0, 0, 2, 3, 6]), (4, 1, 1, 1));
    }

    #[test]
    fn lost_and_doubled_traces_are_counted() {
        let rows = segments::tests::rows(1);
        let sent = 4_000;
        let trace = |number| segments::tests::trace(&rows, number, sent);
        let judge = |traces| {
            let answer = TraceResponse { traces, ..Default::default() };
            let reach = Reach { acknowledged: sent, sent };
            judge_traces(&rows, 0..3, &answer, &|row| reach.presence(row))
        };
        let whole = judge(vec![trace(2), trace(0), trace(1)]);
        assert!(whole.is_clean() && whole.expected == whole.rows && whole.rows > 3, "{whole:?}");
        let size = rows.rows_of(1).count() as u64;
        assert_eq!(judge(vec![trace(0), trace(2)]).lost, size);
        let doubled = judge(vec![trace(0), trace(1), trace(1), trace(2)]);
        assert_eq!((doubled.duplicated, doubled.faults()), (1, 1));
    }
}
