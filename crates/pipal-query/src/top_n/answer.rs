//! From stored rankings to the answer (measure specification 4.8).

use super::TopNContext;
use super::plan::Plan;
use super::ranking::{Number, decode};
use super::{RESULT_MEASURE, value_column};
use crate::budget::Budget;
use crate::entity::shown_value;
use crate::error::QueryResult;
use crate::trace::{Tracer, timestamp};
use crate::values::tag_value;
use hashbrown::HashMap;
use pipal_api::measure::v1::{TopNList, top_n_list::Item};
use pipal_api::model::v1::{
    AggregationFunction, FieldValue, Float, Int, Tag, TagValue, field_value::Value as FieldContent,
};
use pipal_engine::rows::{EntitySelector, ResourceKey, RowKind};
use pipal_engine::{ScanBatch, ScanRequest, TableSnapshot};
use pipal_model::{Error, ValueRef};
use std::cmp::Ordering;

/// Bytes of an entity's place in the map besides its own, roughly.
const ENTRY_BYTES: usize = 96;

/// The best value of an entity, and the snapshot that holds it.
#[derive(Clone, Copy, Debug)]
struct Best {
    value: Number,
    window: i64,
    version: i64,
}

/// Reads all rankings of a plan and keeps the best value per entity.
pub(super) struct Gathering<'a> {
    context: &'a TopNContext<'a>,
    plan: &'a Plan,
    budget: &'a Budget,
    best: HashMap<Box<[u8]>, Best>,
    bytes: usize,
    rankings: u64,
}

impl<'a> Gathering<'a> {
    pub fn new(context: &'a TopNContext<'a>, plan: &'a Plan, budget: &'a Budget) -> Self {
        Gathering { context, plan, budget, best: HashMap::new(), bytes: 0, rankings: 0 }
    }

    /// Reads everything. A damaged ranking fails the query: an answer without it would be a lie.
    pub fn read(&mut self, tracer: &mut Tracer) -> QueryResult<()> {
        let plan = self.plan;
        for (group, prefix) in &plan.sources {
            let snapshot = self.context.snapshots.snapshot(*group, self.context.time)?;
            for segment in &snapshot.segments {
                tracer.enter(|| format!("segment {}", segment.bounds.start));
                for table in &segment.tables {
                    self.table(table, prefix)?;
                }
                tracer.exit();
            }
        }
        tracer.tag("rankings", || self.rankings.to_string());
        tracer.tag("entities", || self.best.len().to_string());
        Ok(())
    }

    fn table(&mut self, table: &TableSnapshot, prefix: &[u8]) -> QueryResult<()> {
        let key = ResourceKey { kind: RowKind::Data, name: RESULT_MEASURE.into() };
        let series = table.series(&key, &EntitySelector::Prefix(prefix.to_vec()))?;
        let chosen: Vec<u32> = (0..series.len() as u32).collect();
        let columns = [value_column()];
        let request = ScanRequest { key: &key, time: self.context.time, columns: &columns, collapse: false };
        let mut scan = table.scan(request, &series, &chosen, self.context.cancel)?;
        let mut batch = ScanBatch::new(&columns);
        while scan.next_batch(&mut batch)? {
            for row in 0..batch.rows.len() {
                let value = batch.rows.columns.first().map_or(ValueRef::Null, |column| column.get(row));
                if let ValueRef::Binary(bytes) = value {
                    self.ranking(bytes, batch.rows.times[row], batch.rows.versions[row])?;
                }
            }
            self.budget
                .check(self.bytes + batch.rows.heap_bytes() + scan.heap_bytes() + series.heap_bytes())?;
        }
        Ok(())
    }

    fn ranking(&mut self, bytes: &[u8], window: i64, version: i64) -> QueryResult<()> {
        let damaged = || Error::corrupt("read ranking", RESULT_MEASURE, "the bytes are no ranking");
        self.rankings += 1;
        for (entity, value) in decode(bytes).ok_or_else(damaged)? {
            let new = Best { value, window, version };
            match self.best.get_mut(entity) {
                Some(best) if self.plan.direction.rank(&value, &best.value) == Ordering::Less => *best = new,
                Some(_) => {}
                None => {
                    self.bytes += entity.len() + ENTRY_BYTES;
                    self.best.insert(entity.into(), new);
                }
            }
        }
        self.budget.check(self.bytes)
    }

    /// The lists of the answer. Errors: the memory limit.
    pub fn lists(self) -> QueryResult<Vec<TopNList>> {
        let aggregated = self.plan.agg != AggregationFunction::Unspecified;
        if aggregated && self.best.is_empty() {
            return Ok(Vec::new());
        }
        let shown = self.best.len().min(self.plan.top_n);
        let names: usize = self.plan.entity.iter().map(|name| name.len() + size_of::<Tag>()).sum();
        self.budget.check(2 * self.bytes + shown * (size_of::<Item>() + names))?;
        let rank = self.plan.direction;
        let mut entries: Vec<(Box<[u8]>, Best)> = self.best.into_iter().collect();
        // Ties are ordered too, so that an answer does not change from call to call.
        entries.sort_unstable_by(|a, b| rank.rank(&a.1.value, &b.1.value).then_with(|| a.0.cmp(&b.0)));
        entries.truncate(self.plan.top_n);
        let plan = self.plan;
        let items = entries.iter().map(|(entity, best)| item(plan, entity, best)).collect();
        Ok(vec![TopNList { timestamp: aggregated.then(|| timestamp(self.context.now)), items }])
    }
}

fn item(plan: &Plan, entity: &[u8], best: &Best) -> Item {
    let mut scratch = Vec::new();
    let mut tags = Vec::with_capacity(plan.entity.len());
    for (i, name) in plan.entity.iter().enumerate() {
        let value = tag_value(shown_value(entity, i, &mut scratch));
        tags.push(Tag { key: name.to_string(), value: Some(TagValue { value: Some(value) }) });
    }
    let value = FieldValue { value: Some(content(aggregate(plan.agg, best.value))) };
    let item = Item { entity: tags, value: Some(value), ..Item::default() };
    match plan.agg {
        AggregationFunction::Unspecified => {
            Item { version: best.version, timestamp: Some(timestamp(best.window)), ..item }
        }
        _ => item,
    }
}

/// What an aggregation makes of the one value of an entity.
fn aggregate(agg: AggregationFunction, value: Number) -> Number {
    match (agg, value) {
        (AggregationFunction::Count, Number::Int(_)) => Number::Int(1),
        (AggregationFunction::Count, Number::Float(_)) => Number::Float(1.0),
        (AggregationFunction::Mean, Number::Int(value)) => Number::Int(value.max(1)),
        (AggregationFunction::Mean, Number::Float(value)) if value < 1.0 => Number::Float(1.0),
        (_, value) => value,
    }
}

fn content(number: Number) -> FieldContent {
    match number {
        Number::Int(value) => FieldContent::Int(Int { value }),
        Number::Float(value) => FieldContent::Float(Float { value }),
    }
}
