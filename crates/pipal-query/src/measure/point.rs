//! The short way for the query that is half of all traffic: some tags and fields of one series over a time range.
//!
//! Its rows come out of the scan in the order of the answer, so there is nothing to sort, to group or to keep: rows
//! become messages at once, and the limit ends the reading. Everything else takes the general way.

use super::answer::{Builder, message_bytes};
use super::criteria::LeafTest;
use super::plan::{Operation, Plan};
use super::{GroupTarget, Points, QueryContext};
use crate::budget::Budget;
use crate::error::QueryResult;
use crate::order::Order;
use crate::view::{SeriesInfo, View};
use pipal_api::measure::v1::DataPoint;
use pipal_codec::Column;
use pipal_engine::rows::{EntitySelector, ResourceKey, RowKind};
use pipal_engine::{MergedSeries, ScanBatch, ScanRequest, SegmentSnapshot, TableSnapshot};
use pipal_model::ValueRef;
use pipal_model::series::sid;

/// The only series of a query.
struct OneSeries<'a> {
    entity: &'a [u8],
    sid: u64,
}

impl SeriesInfo for OneSeries<'_> {
    fn entity(&self, _series: usize) -> &[u8] {
        self.entity
    }

    fn sid(&self, _series: usize) -> u64 {
        self.sid
    }

    fn group(&self, _series: usize) -> usize {
        0
    }

    fn attribute(&self, _attribute: usize, _series: usize) -> ValueRef<'_> {
        ValueRef::Absent
    }
}

/// The answer, or none if the query is not of this kind: one group, one series named by its whole entity, rows by
/// rising time, no attributes.
pub(crate) fn answer(
    context: &QueryContext<'_>,
    plan: &Plan,
    budget: &Budget,
) -> QueryResult<Option<Points>> {
    let ([group], Some(selector)) = (context.groups, selector_of(plan)) else { return Ok(None) };
    if group.schema.index_mode {
        return Ok(None);
    }
    let key = ResourceKey { kind: RowKind::Data, name: group.schema.name.as_ref().into() };
    let snapshot = context.snapshots.snapshot(group.id, context.time)?;
    let mut found = Vec::with_capacity(snapshot.segments.len());
    for segment in &snapshot.segments {
        match only_table(segment, &key, selector)? {
            Found::Nowhere => {}
            Found::Once(table, series) => found.push((table, series)),
            Found::Spread => return Ok(None),
        }
    }
    let mut points = Collector {
        context,
        plan,
        budget,
        group,
        key: &key,
        rows: Vec::new(),
        value_bytes: 0,
        to_skip: plan.offset,
    };
    for (table, series) in &found {
        if points.is_full() {
            break;
        }
        points.read(table, series)?;
    }
    let bytes = points.bytes();
    Ok(Some(Points { rows: points.rows, bytes }))
}

/// The one entity that the plan asks for. Conditions other than on the key would need more than the entity.
fn selector_of(plan: &Plan) -> Option<&EntitySelector> {
    let [group] = &plan.groups[..] else { return None };
    let criteria = group.criteria.as_ref()?;
    let on_key = criteria.leaves.iter().all(|leaf| matches!(leaf.test, LeafTest::Key(_)));
    let simple = plan.operation == Operation::Rows
        && plan.top.is_none()
        && plan.order == (Order::Time { descending: false })
        && plan.shape.attributes.is_empty();
    match &group.selectors[..] {
        [selector @ EntitySelector::Exact(entities)]
            if on_key && simple && entities.len() == 1 && !criteria.unservable =>
        {
            Some(selector)
        }
        _ => None,
    }
}

/// Where the series is in a segment.
enum Found<'a> {
    Nowhere,
    Once(&'a TableSnapshot, MergedSeries),
    /// In several shards, whose rows may replace each other.
    Spread,
}

fn only_table<'a>(
    segment: &'a SegmentSnapshot,
    key: &ResourceKey,
    selector: &EntitySelector,
) -> QueryResult<Found<'a>> {
    let mut found = Found::Nowhere;
    for table in &segment.tables {
        let series = table.series(key, selector)?;
        found = match (found, series.is_empty()) {
            (found, true) => found,
            (Found::Nowhere, false) => Found::Once(table, series),
            (_, false) => return Ok(Found::Spread),
        };
    }
    Ok(found)
}

/// Collects the answer.
struct Collector<'a> {
    context: &'a QueryContext<'a>,
    plan: &'a Plan,
    budget: &'a Budget,
    group: &'a GroupTarget,
    key: &'a ResourceKey,
    rows: Vec<DataPoint>,
    /// At most the bytes that the values of the rows have.
    value_bytes: usize,
    to_skip: u64,
}

impl Collector<'_> {
    fn bytes(&self) -> usize {
        self.value_bytes + message_bytes(self.plan, self.rows.len())
    }

    fn is_full(&self) -> bool {
        self.rows.len() as u64 >= self.plan.limit
    }

    fn read(&mut self, table: &TableSnapshot, series: &MergedSeries) -> QueryResult<()> {
        let entity = series.entity(0);
        let one = OneSeries { entity, sid: sid(&self.group.schema.name, entity) };
        let columns = &self.plan.shape.columns;
        let request = ScanRequest { key: self.key, time: self.context.time, columns, collapse: false };
        let mut scan = table.scan(request, series, &[0], self.context.cancel)?;
        let mut batch = ScanBatch::new(columns);
        let mut builder = Builder::new(self.plan);
        while !self.is_full() && scan.next_batch(&mut batch)? {
            let columns: Vec<Option<&Column>> = batch.rows.columns.iter().map(Some).collect();
            let view = View {
                series: &one,
                row_series: &batch.series,
                times: &batch.rows.times,
                versions: &batch.rows.versions,
                columns: &columns,
            };
            for row in 0..batch.rows.len() {
                if batch.rows.is_deleted(row) {
                    continue;
                }
                if self.to_skip > 0 {
                    self.to_skip -= 1;
                    continue;
                }
                if self.is_full() {
                    break;
                }
                self.rows.push(builder.plain(&view, row));
            }
            let batch_bytes = batch.rows.heap_bytes();
            self.value_bytes += batch_bytes;
            self.budget.check(batch_bytes + scan.heap_bytes() + self.bytes())?;
        }
        Ok(())
    }
}
