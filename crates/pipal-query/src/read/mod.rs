//! Reading: which segments and tables are visited in which order, and how their rows reach the operators.
//!
//! Segments whose times overlap form a *region*; the segments of one group never do. Regions are visited in the
//! order of the query, so that a limit ends the reading early.
//!
//! The models differ in their conditions ([`Criteria`]), in what becomes of rows ([`RowSink`]) and in which rows
//! replace each other ([`Duplicates`]).

mod regions;
mod resolve;
mod unit;

use crate::budget::Budget;
use crate::context::QueryContext;
use crate::error::QueryResult;
use crate::schema::RowSchema;
use crate::shape::Shape;
use crate::trace::Tracer;
use crate::view::View;
use hashbrown::HashSet;
use pipal_codec::Column;
use pipal_engine::rows::{EntitySelector, ReadStats};
use pipal_engine::scan::{MergedSeries, ScanBatch, ScanRequest};
use pipal_engine::{RowPredicate, TermFilter};
use pipal_model::{ColumnKey, TimeRange};
use regions::Region;
use resolve::Resolver;
use unit::{GroupReader, Unit, narrowed};

/// Rows of a region that a sink may hold until its end; regions of more are read in slices of time.
const SLICE_ROWS: u64 = 1 << 20;

/// What is to be read, in the terms that all models share.
pub(crate) struct ReadPlan<'a> {
    /// One per group of the context.
    pub groups: Vec<GroupRead<'a>>,
    /// Columns that the sink works on.
    pub shape: &'a Shape,
    /// True when later rows are to be seen first.
    pub newest_first: bool,
    /// Which rows replace each other.
    pub duplicates: Duplicates,
}

/// What is to be read of one group.
pub(crate) struct GroupRead<'a> {
    /// Conditions, if there are any.
    pub criteria: Option<&'a dyn Criteria>,
    /// Disjoint sets of series that together hold all accepted ones.
    pub selectors: &'a [EntitySelector],
    /// What indexes of terms can tell of the series.
    pub terms: &'a TermFilter,
    /// What rows must be like, as far as sources can tell before they are read.
    pub predicate: &'a RowPredicate,
    /// Why the group cannot be read, once there are segments to read.
    pub refusal: Option<&'static str>,
}

/// Which rows replace each other when a series lies in several tables of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// Of one series and time the greatest version stays; of an index-mode series the latest row.
    GreatestVersion,
    /// None do.
    AllStay,
}

/// Conditions of one group on series and rows.
pub(crate) trait Criteria {
    /// Per condition the column that it tests, if it tests one.
    fn columns(&self, schema: &RowSchema) -> Vec<Option<ColumnKey>>;

    /// Applies the conditions to the series of a table. `attributes` holds, per condition on an attribute, its values.
    fn on_series<'a>(
        &'a self,
        series: &MergedSeries,
        attributes: &[Option<&Column>],
    ) -> Box<dyn SeriesOutcomes + 'a>;
}

/// What conditions say of the series of a table, and of their rows.
pub(crate) trait SeriesOutcomes {
    /// Series that are not ruled out, ascending.
    fn chosen(&self) -> Vec<u32>;

    /// True when rows of some series have to be looked at.
    fn is_open(&self) -> bool;

    /// Keeps of `rows` those that the conditions accept. `row_series` holds the series of each row of a batch, `columns`
    /// per condition on a column its values.
    fn retain(&self, row_series: &[u32], columns: &[Option<&Column>], rows: &mut Vec<u32>);

    /// Bytes held.
    fn heap_bytes(&self) -> usize;
}

/// How a region is cut into parts of its time, which are read one after the other in the order of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slicing {
    /// Not at all.
    Whole,
    /// Into equal parts, since the sink holds the rows of a part until its end.
    Equal,
    /// The first part has about so many rows, and each one is many times longer than the one before: the first parts
    /// may satisfy the sink.
    Growing(u64),
}

/// What becomes of the rows that the reading finds. Rows may arrive in any order of series and shards, in regions of
/// time; inside a series of a region they arrive by rising time.
pub(crate) trait RowSink {
    /// Takes the listed rows of a view.
    fn take(&mut self, view: &View<'_>, rows: &[u32]);

    /// Tells that all rows of a region of time were given.
    fn end_region(&mut self);

    /// True when no row of a later region can change the result.
    fn is_satisfied(&self) -> bool;

    /// The part of `time` whose rows can still change the result.
    fn narrow(&self, time: TimeRange) -> TimeRange;

    /// How regions of many rows are best cut in time.
    fn slicing(&self) -> Slicing;

    /// Bytes held.
    fn heap_bytes(&self) -> usize;
}

/// Reads everything that the plan needs into the sink.
pub(crate) fn read(
    context: &QueryContext<'_>,
    plan: &ReadPlan<'_>,
    sink: &mut dyn RowSink,
    budget: &Budget,
    tracer: &mut Tracer,
) -> QueryResult<()> {
    let mut regions = regions::of(context, plan)?;
    if plan.newest_first {
        regions.reverse();
    }
    let readers: Vec<GroupReader<'_>> = (context.groups.iter().zip(&plan.groups).enumerate())
        .map(|(i, (group, plan_of_group))| GroupReader::new(i, plan_of_group, &group.schema, plan.shape))
        .collect();
    let mut reading = Reading {
        context,
        plan,
        readers: &readers,
        budget,
        seen: vec![HashSet::new(); readers.len()],
        selection: Vec::new(),
    };
    for (visited, region) in regions.iter().enumerate() {
        if sink.is_satisfied() {
            tracer.tag("segments_not_needed", || (regions.len() - visited).to_string());
            break;
        }
        reading.region(region, sink, tracer)?;
    }
    Ok(())
}

struct Reading<'a> {
    context: &'a QueryContext<'a>,
    plan: &'a ReadPlan<'a>,
    readers: &'a [GroupReader<'a>],
    budget: &'a Budget,
    /// Per index-mode group the series that newer segments gave.
    seen: Vec<HashSet<u64>>,
    selection: Vec<u32>,
}

impl Reading<'_> {
    fn region(&mut self, region: &Region, sink: &mut dyn RowSink, tracer: &mut Tracer) -> QueryResult<()> {
        tracer.enter(|| format!("segment {}", region.start));
        let readers = self.readers;
        let units = self.open(readers, region, tracer)?;
        let spread = match self.plan.duplicates {
            Duplicates::GreatestVersion => resolve::spread_series(&units),
            Duplicates::AllStay => HashSet::new(),
        };
        let held: usize = units.iter().map(Unit::heap_bytes).sum();
        let stored_rows: u64 = units.iter().map(Unit::stored_rows).sum();
        let newest_first = self.plan.newest_first;
        let slices = match sink.slicing() {
            Slicing::Whole => vec![self.context.time],
            Slicing::Equal => {
                region.slices(self.context.time, stored_rows.div_ceil(SLICE_ROWS), newest_first)
            }
            Slicing::Growing(rows) => {
                region.growing_slices(self.context.time, stored_rows.div_ceil(rows.max(1)), newest_first)
            }
        };
        for time in slices {
            if sink.is_satisfied() {
                tracer.tag("satisfied", || "true".into());
                break;
            }
            self.slice(&units, &spread, time, held, sink, tracer)?;
            sink.end_region();
        }
        tracer.exit();
        Ok(())
    }

    /// Reads the rows of a region in a part of its time.
    fn slice(
        &mut self,
        units: &[Unit<'_>],
        spread: &HashSet<u64>,
        time: TimeRange,
        held: usize,
        sink: &mut dyn RowSink,
        tracer: &mut Tracer,
    ) -> QueryResult<()> {
        let mut resolver = Resolver::new(self.plan.shape);
        for unit in units {
            tracer.enter(|| format!("scan-blocks shard {}", unit.table.shard()));
            let stats = self.scan(unit, spread, sink.narrow(time), sink, &mut resolver, held)?;
            trace_scan(tracer, unit, stats);
            tracer.exit();
        }
        if resolver.is_empty() {
            return Ok(());
        }
        self.budget.check(held + 2 * resolver.heap_bytes() + sink.heap_bytes())?;
        let one_per_series = units.iter().all(|unit| unit.reader.schema.index_mode);
        let rows = resolver.resolve(self.plan.shape, one_per_series);
        let mut selection = std::mem::take(&mut self.selection);
        selection.clear();
        selection.extend(0..rows.len() as u32);
        rows.with_view(|view| self.give(view, selection, sink));
        Ok(())
    }

    fn open<'t>(
        &self,
        readers: &'t [GroupReader<'t>],
        region: &'t Region,
        tracer: &mut Tracer,
    ) -> QueryResult<Vec<Unit<'t>>> {
        tracer.enter(|| "seriesIndex.search".into());
        let mut units = Vec::new();
        let mut held = 0;
        let (mut candidates_found, mut tables_asked, mut tables_narrowed) = (0, 0, 0);
        let (mut sources_narrowed, mut sources_left_out, mut rows_of_use) = (0, 0, 0);
        for (group, segment) in &region.segments {
            for table in &segment.tables {
                let candidates = readers[*group].candidates(table)?;
                let candidates = candidates.as_deref();
                tables_asked += usize::from(*readers[*group].plan.terms != TermFilter::All);
                tables_narrowed += usize::from(candidates.is_some());
                candidates_found += candidates.map_or(0, <[_]>::len);
                self.budget.check(held + bytes_of(candidates))?;
                let useful = readers[*group].narrowed(table)?;
                sources_narrowed += useful.sources_narrowed;
                sources_left_out += useful.sources_left_out;
                rows_of_use += useful.rows_of_use;
                for selector in readers[*group].plan.selectors {
                    self.context.cancel.check()?;
                    let selector = narrowed(selector, candidates);
                    let unit = readers[*group].open(&useful, &selector, self.plan.shape)?;
                    held += unit.as_ref().map_or(0, Unit::heap_bytes);
                    self.budget.check(held)?;
                    units.extend(unit);
                }
            }
        }
        tracer
            .tag("tables", || region.segments.iter().map(|(_, s)| s.tables.len()).sum::<usize>().to_string());
        if tables_asked > 0 {
            tracer.tag("term_index_tables", || format!("{tables_narrowed} of {tables_asked}"));
            tracer.tag("term_index_candidates", || candidates_found.to_string());
        }
        if sources_narrowed > 0 {
            tracer.tag("sources_left_out", || format!("{sources_left_out} of {sources_narrowed}"));
            tracer.tag("rows_of_use", || rows_of_use.to_string());
        }
        tracer.tag("series_considered", || units.iter().map(|u| u.series.len()).sum::<usize>().to_string());
        tracer.tag("series_chosen", || units.iter().map(|u| u.chosen.len()).sum::<usize>().to_string());
        tracer.exit();
        Ok(units)
    }

    fn scan(
        &mut self,
        unit: &Unit<'_>,
        spread: &HashSet<u64>,
        time: TimeRange,
        sink: &mut dyn RowSink,
        resolver: &mut Resolver,
        held: usize,
    ) -> QueryResult<ReadStats> {
        let request = ScanRequest { key: &unit.reader.key, time, columns: &unit.columns, collapse: false };
        let mut scan = unit.table.scan(request, &unit.series, &unit.chosen, self.context.cancel)?;
        let mut batch = ScanBatch::new(&unit.columns);
        while scan.next_batch(&mut batch)? {
            self.select(unit, &batch);
            let columns: Vec<Option<&Column>> =
                unit.shape_columns.iter().map(|at| at.and_then(|at| batch.rows.columns.get(at))).collect();
            let view = View {
                series: unit,
                row_series: &batch.series,
                times: &batch.rows.times,
                versions: &batch.rows.versions,
                columns: &columns,
            };
            let mut rows = std::mem::take(&mut self.selection);
            if !spread.is_empty() {
                let is_spread = |row: &u32| spread.contains(&unit.sids[batch.series[*row as usize] as usize]);
                let (apart, direct): (Vec<u32>, Vec<u32>) = rows.iter().partition(|row| is_spread(row));
                resolver.extend(&view, &apart);
                rows = direct;
            }
            self.give(&view, rows, sink);
            let batch_bytes = batch.rows.heap_bytes() + batch.series.capacity() * 4 + scan.heap_bytes();
            self.budget.check(held + batch_bytes + resolver.heap_bytes() + sink.heap_bytes())?;
        }
        Ok(scan.stats())
    }

    /// Selects the rows of a batch that are alive and accepted.
    fn select(&mut self, unit: &Unit<'_>, batch: &ScanBatch) {
        self.selection.clear();
        self.selection
            .extend((0..batch.rows.len() as u32).filter(|row| !batch.rows.is_deleted(*row as usize)));
        if let Some(filter) = &unit.filter {
            let columns: Vec<Option<&Column>> =
                unit.leaf_columns.iter().map(|at| at.and_then(|at| batch.rows.columns.get(at))).collect();
            filter.retain(&batch.series, &columns, &mut self.selection);
        }
    }

    /// Gives rows to the sink. In index mode a series that a newer segment gave is not given again.
    fn give(&mut self, view: &View<'_>, mut rows: Vec<u32>, sink: &mut dyn RowSink) {
        rows.retain(|row| {
            let (series, group) = view.series_of(*row as usize);
            !self.readers[group].schema.index_mode || self.seen[group].insert(view.series.sid(series))
        });
        sink.take(view, &rows);
        self.selection = rows;
    }
}

/// Bytes that candidates take, twice: in their list and in a selector.
fn bytes_of(candidates: Option<&[Vec<u8>]>) -> usize {
    let list = candidates.unwrap_or_default();
    2 * list.iter().map(|entity| entity.capacity() + size_of::<Vec<u8>>()).sum::<usize>()
}

fn trace_scan(tracer: &mut Tracer, unit: &Unit<'_>, stats: ReadStats) {
    tracer.tag("sources", || unit.table.source_count().to_string());
    tracer.tag("parts", || unit.table.part_count().to_string());
    tracer.tag("series", || unit.chosen.len().to_string());
    tracer.tag("columns", || unit.columns.len().to_string());
    tracer.tag("row_groups_considered", || stats.row_groups_considered.to_string());
    tracer.tag("row_groups_pruned", || stats.row_groups_pruned.to_string());
    tracer.tag("row_groups_read", || stats.row_groups_read.to_string());
    tracer.tag("cache_hits", || stats.cache_hits.to_string());
    tracer.tag("file_bytes", || stats.file_bytes.to_string());
    tracer.tag("rows", || stats.rows.to_string());
}
