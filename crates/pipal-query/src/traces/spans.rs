//! All spans of the traces of the answer, as messages (trace specification, 4.1 and 8).

use super::best::Found;
use super::find::{ColumnSet, Sources, entity_of};
use super::plan::{GroupPlan, Output, Plan};
use crate::budget::Budget;
use crate::error::QueryResult;
use crate::schema::SPAN_FIELD;
use crate::values::{tag_value, text_of};
use pipal_api::model::v1::{Str, Tag, TagValue, tag_value::Value as Shown};
use pipal_api::trace::v1::{Span, Trace};
use pipal_engine::rows::EntitySelector;
use pipal_engine::scan::{ScanBatch, ScanRequest};
use pipal_model::{ColumnKey, ColumnType, TimeRange, ValueRef};

/// Spans of so many traces are read together.
const TRACES_AT_ONCE: usize = 1024;

/// Reads the spans of the listed traces, in that order; traces without spans are left out.
pub(super) fn read(
    sources: &Sources<'_>,
    plan: &Plan,
    found: &[Found],
    budget: &mut Budget,
) -> QueryResult<Vec<Trace>> {
    budget.keep(found.len() * size_of::<Trace>())?;
    let mut traces: Vec<Trace> = Vec::with_capacity(found.len());
    for found in found {
        traces.push(Trace { trace_id: text_of(&found.id), spans: Vec::new() });
    }
    for (group, group_plan) in plan.groups.iter().enumerate() {
        let mut wanted: Vec<(Vec<u8>, usize)> = (found.iter().enumerate())
            .filter(|(_, found)| found.group == group)
            .map(|(at, found)| (entity_of(&found.id), at))
            .collect();
        wanted.sort_unstable();
        let reader = Reader::new(group_plan, &plan.output);
        for wanted in wanted.chunks(TRACES_AT_ONCE) {
            reader.read(sources, group, wanted, &mut traces, budget)?;
        }
    }
    traces.retain(|trace| !trace.spans.is_empty());
    Ok(traces)
}

/// Reads spans of one group.
struct Reader<'a> {
    output: &'a Output,
    columns: ColumnSet,
    /// Per ordinary tag of the output its position in `columns`.
    tags: Vec<Option<usize>>,
    span: usize,
    span_id: Option<usize>,
}

impl<'a> Reader<'a> {
    fn new(plan: &GroupPlan, output: &'a Output) -> Self {
        let mut columns = ColumnSet::default();
        let tags = plan.tag_columns.iter().map(|key| key.as_ref().map(|key| columns.position(key))).collect();
        let span_id = plan.span_id_column.as_ref().map(|key| columns.position(key));
        let span_key = ColumnKey { family: "".into(), name: SPAN_FIELD.into(), ty: ColumnType::Binary };
        let span = columns.position(&span_key);
        Reader { output, columns, tags, span, span_id }
    }

    /// Adds the spans of the wanted traces, which are entities with places in `traces`, sorted by entity.
    fn read(
        &self,
        sources: &Sources<'_>,
        group: usize,
        wanted: &[(Vec<u8>, usize)],
        traces: &mut [Trace],
        budget: &mut Budget,
    ) -> QueryResult<()> {
        let selector = EntitySelector::Exact(wanted.iter().map(|(entity, _)| entity.clone()).collect());
        let key = sources.key(group);
        for table in sources.tables(group) {
            sources.cancel.check()?;
            let series = table.series(key, &selector)?;
            let chosen: Vec<u32> = (0..series.len() as u32).collect();
            // Every span of a trace in the selected segments belongs to it, also outside the time of the request.
            let request =
                ScanRequest { key, time: TimeRange::ALL, columns: self.columns.keys(), collapse: false };
            let mut scan = table.scan(request, &series, &chosen, sources.cancel)?;
            let mut batch = ScanBatch::new(request.columns);
            while scan.next_batch(&mut batch)? {
                budget.check(batch.rows.heap_bytes() + scan.heap_bytes() + series.heap_bytes())?;
                for row in (0..batch.rows.len()).filter(|row| !batch.rows.is_deleted(*row)) {
                    let entity = series.entity(batch.series[row] as usize);
                    let at = wanted.binary_search_by(|(known, _)| known.as_slice().cmp(entity));
                    let trace = at.ok().and_then(|at| traces.get_mut(wanted.get(at)?.1));
                    let Some(trace) = trace else { continue };
                    let span = self.span(&batch, row, &trace.trace_id);
                    budget.keep(bytes_of(&span))?;
                    trace.spans.push(span);
                }
            }
        }
        Ok(())
    }

    fn span(&self, batch: &ScanBatch, row: usize, trace_id: &str) -> Span {
        let value = |at: Option<usize>| match at.and_then(|at| batch.rows.columns.get(at)) {
            Some(column) => column.get(row),
            None => ValueRef::Null,
        };
        let span_id = match value(self.span_id) {
            ValueRef::Str(text) => text_of(text),
            _ => String::new(),
        };
        let payload = match value(Some(self.span)) {
            ValueRef::Binary(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        };
        let output = self.output;
        let mut tags = Vec::with_capacity(output.tags.len() + 2);
        for (name, at) in output.tags.iter().zip(&self.tags) {
            tags.push(tag(name, tag_value(value(*at))));
        }
        let text = |text: &str| Shown::Str(Str { value: text.into() });
        tags.extend(output.trace_id.as_ref().map(|name| tag(name, text(trace_id))));
        tags.extend(output.span_id.as_ref().map(|name| tag(name, text(&span_id))));
        Span { tags, span: payload.into(), span_id }
    }
}

fn tag(name: &str, value: Shown) -> Tag {
    Tag { key: name.into(), value: Some(TagValue { value: Some(value) }) }
}

/// About the bytes that a message holds.
fn bytes_of(span: &Span) -> usize {
    let tag_bytes = |tag: &Tag| {
        let value = tag.value.as_ref().and_then(|value| value.value.as_ref());
        size_of::<Tag>()
            + tag.key.len()
            + match value {
                Some(Shown::Str(text)) => text.value.len(),
                Some(Shown::BinaryData(bytes)) => bytes.len(),
                Some(Shown::StrArray(list)) => list.value.iter().map(|e| size_of::<String>() + e.len()).sum(),
                Some(Shown::IntArray(list)) => list.value.len() * 8,
                Some(Shown::Null(_) | Shown::Int(_) | Shown::Timestamp(_)) | None => 0,
            }
    };
    // A vector that grows by doubling holds up to twice what it has.
    2 * size_of::<Span>()
        + span.span.len()
        + span.span_id.len()
        + span.tags.iter().map(tag_bytes).sum::<usize>()
}
