//! Groups of rows: the first row of each in the order of the query, and an aggregated number if one is asked for.

use super::Outcome;
use super::aggregate::Aggregator;
use crate::buffer::RowBuffer;
use crate::measure::plan::{Operation, Plan};
use crate::order::{Order, SortKey, Sorter};
use crate::view::View;
use hashbrown::HashMap;
use pipal_model::value::write_varint;
use pipal_model::{Value, ValueRef};

/// Replaced first rows that may collect beyond the number of groups before they are dropped.
const SLACK_ROWS: usize = 8192;

/// See the module.
pub(crate) struct GroupsSink<'a> {
    plan: &'a Plan,
    /// Tags of the output in which groups differ.
    tags: &'a [usize],
    sorter: Sorter,
    numbers: HashMap<Box<[u8]>, u32>,
    number_bytes: usize,
    /// Per group the key and position of its first row.
    first_keys: Vec<SortKey>,
    first_rows: Vec<u32>,
    rows: RowBuffer,
    aggregator: Option<Aggregator<'a>>,
    scratch: Vec<u8>,
    group_key: Vec<u8>,
    last: Option<u32>,
    last_key: Vec<u8>,
}

impl<'a> GroupsSink<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let (tags, aggregator) = match &plan.operation {
            Operation::Rows => (&[][..], None),
            Operation::FirstOfGroup(tags) => (&tags[..], None),
            Operation::Aggregate(tags, aggregate) => (&tags[..], Some(Aggregator::new(aggregate))),
        };
        GroupsSink {
            plan,
            tags,
            sorter: Sorter::new(plan.order.clone(), None),
            numbers: HashMap::new(),
            number_bytes: 0,
            first_keys: Vec::new(),
            first_rows: Vec::new(),
            rows: RowBuffer::new(&plan.shape),
            aggregator,
            scratch: Vec::new(),
            group_key: Vec::new(),
            last: None,
            last_key: Vec::new(),
        }
    }

    pub fn take(&mut self, view: &View<'_>, rows: &[u32]) {
        for run in rows.chunk_by(|a, b| view.row_series[*a as usize] == view.row_series[*b as usize]) {
            self.take_series(view, run);
        }
        if self.rows.len() > 2 * self.first_rows.len() + SLACK_ROWS {
            self.drop_replaced();
        }
    }

    /// Takes rows of one series, in order of time. Where all of them are in one group, only one can be its first.
    fn take_series(&mut self, view: &View<'_>, run: &[u32]) {
        let (Some(&first), Some(&last)) = (run.first(), run.last()) else { return };
        let (series, schema_group) = view.series_of(first as usize);
        let one_group = self
            .tags
            .iter()
            .all(|tag| view.is_constant(self.plan.output.tags.list[*tag].sources[schema_group], series));
        let candidate = match self.sorter.order() {
            Order::Time { descending } => Some(if *descending { last } else { first }),
            Order::Series => Some(first),
            Order::Tag { sources, .. } => view.is_constant(sources[schema_group], series).then_some(first),
        };
        if let (true, Some(candidate)) = (one_group, candidate) {
            let group = self.group_of(view, candidate as usize);
            self.offer(group, view, candidate);
            self.aggregate(group, view, run);
            return;
        }
        let backwards = matches!(self.sorter.order(), Order::Time { descending: true });
        for i in 0..run.len() {
            let row = if backwards { run[run.len() - 1 - i] } else { run[i] };
            let group = self.group_of(view, row as usize);
            self.offer(group, view, row);
            self.aggregate(group, view, &[row]);
        }
    }

    fn aggregate(&mut self, group: u32, view: &View<'_>, rows: &[u32]) {
        if let Some(aggregator) = &mut self.aggregator {
            aggregator.add(group, view, rows, &mut self.sorter);
        }
    }

    /// The group of a row; a new one if its tags were not seen before.
    fn group_of(&mut self, view: &View<'_>, row: usize) -> u32 {
        let (_, schema_group) = view.series_of(row);
        self.group_key.clear();
        for tag in self.tags {
            let source = self.plan.output.tags.list[*tag].sources[schema_group];
            write_key(view.tag_value(source, row, &mut self.scratch), &mut self.group_key);
        }
        if let Some(last) = self.last
            && self.last_key == self.group_key
        {
            return last;
        }
        let group = match self.numbers.get(&*self.group_key) {
            Some(group) => *group,
            None => {
                let group = self.numbers.len() as u32;
                self.numbers.insert(self.group_key.as_slice().into(), group);
                self.number_bytes += self.group_key.len() + 48;
                if let Some(aggregator) = &mut self.aggregator {
                    aggregator.add_group();
                }
                group
            }
        };
        self.last_key.clone_from(&self.group_key);
        self.last = Some(group);
        group
    }

    /// Makes the row the first of its group if it comes before the known one.
    fn offer(&mut self, group: u32, view: &View<'_>, row: u32) {
        let key = self.sorter.key(view, row as usize);
        let group = group as usize;
        match self.first_keys.get(group) {
            Some(known) if self.sorter.compare(&key, known).is_ge() => return,
            Some(_) => {}
            None => {
                self.first_keys.push(key);
                self.first_rows.push(0);
            }
        }
        let series = self.rows.push_series(view.series, view.row_series[row as usize] as usize);
        self.rows.push_row(view, row as usize, series);
        self.first_keys[group] = key;
        self.first_rows[group] = self.rows.len() as u32 - 1;
    }

    fn drop_replaced(&mut self) {
        self.rows = self.rows.gather(&self.plan.shape, &self.first_rows);
        self.first_rows = (0..self.first_rows.len() as u32).collect();
    }

    /// True when the numbers of a region wait for its end.
    pub fn holds_regions(&self) -> bool {
        let by_time = matches!(self.sorter.order(), Order::Time { .. });
        by_time && self.aggregator.as_ref().is_some_and(Aggregator::needs_order)
    }

    /// Regions arrive in the order of the query only if that is time.
    pub fn end_region(&mut self) {
        if let (Some(aggregator), Order::Time { .. }) = (&mut self.aggregator, self.sorter.order()) {
            aggregator.settle(&self.sorter);
        }
    }

    pub fn heap_bytes(&self) -> usize {
        self.rows.heap_bytes()
            + self.number_bytes
            + self.first_keys.capacity() * (size_of::<SortKey>() + 4)
            + self.sorter.heap_bytes()
            + self.aggregator.as_ref().map_or(0, Aggregator::heap_bytes)
    }

    pub fn finish(mut self) -> Outcome {
        let mut groups = self.sorter.sorted_positions(&self.first_keys);
        let mut numbers = Vec::new();
        if let Some(aggregator) = &mut self.aggregator {
            aggregator.settle(&self.sorter);
            numbers = groups.iter().map(|group| aggregator.number(*group)).collect();
        }
        if let Some(top) = &self.plan.top {
            let best = self.best_groups(top, &groups, &numbers);
            numbers =
                if numbers.is_empty() { numbers } else { best.iter().map(|i| numbers[*i].clone()).collect() };
            groups = best.iter().map(|i| groups[*i]).collect();
        }
        let order = groups.iter().map(|group| self.first_rows[*group as usize]).collect();
        Outcome { rows: self.rows, order, numbers }
    }

    /// Positions in `groups` of the best, best first; equal ones keep their order.
    fn best_groups(&self, top: &crate::measure::plan::Top, groups: &[u32], numbers: &[Value]) -> Vec<usize> {
        let rank = |i: usize| match numbers.get(i) {
            Some(number) => top.ranking.rank_value(number.as_ref()),
            None => self.rows.with_view(|view| {
                let row = self.first_rows[groups[i] as usize] as usize;
                top.ranking.rank(view, row, view.series_of(row).1)
            }),
        };
        let mut best: Vec<usize> = (0..groups.len()).collect();
        best.sort_by_cached_key(|i| rank(*i));
        best.truncate(top.number);
        best
    }
}

/// Appends a value so that different values have different bytes, also in a row of several.
fn write_key(value: ValueRef<'_>, out: &mut Vec<u8>) {
    let (type_byte, bytes): (u8, &[u8]) = match value {
        ValueRef::Absent | ValueRef::Null => return out.push(0),
        ValueRef::Int(v) => return write_number(2, v, out),
        ValueRef::Timestamp(v) => return write_number(7, v, out),
        ValueRef::Float(v) => return write_number(3, v.to_bits() as i64, out),
        ValueRef::Str(bytes) => (1, bytes),
        ValueRef::Binary(bytes) => (4, bytes),
        ValueRef::StrArray(bytes) => (5, bytes),
        ValueRef::IntArray(bytes) => (6, bytes),
    };
    out.push(type_byte);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn write_number(type_byte: u8, value: i64, out: &mut Vec<u8>) {
    out.push(type_byte);
    out.extend_from_slice(&value.to_le_bytes());
}
