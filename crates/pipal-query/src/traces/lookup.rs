//! Finding traces by their ids (trace specification, 5).

use super::best::Found;
use super::find::{ColumnSet, PlacedFilter, Sources, entity_of, scan};
use super::plan::Plan;
use crate::budget::Budget;
use crate::error::QueryResult;
use crate::row_filter::RowFilter;
use pipal_engine::rows::EntitySelector;
use pipal_engine::scan::ScanRequest;
use pipal_model::TimeRange;
use std::collections::BTreeSet;

/// So many ids are looked up together.
const IDS_AT_ONCE: usize = 1024;

/// The traces of the answer by id and group. Ids are looked up in order until there are enough traces; the reference
/// cuts the list before it knows which ids exist, and so finds no more than this.
pub(super) fn find(
    sources: &Sources<'_>,
    plan: &Plan,
    ids: &[Box<[u8]>],
    budget: &Budget,
) -> QueryResult<Vec<Found>> {
    if plan.offset == 0 && fits_whole(plan, ids.len()) {
        return Ok(all(plan, ids));
    }
    let mut found = Vec::new();
    let needed = plan.traces_needed();
    for ids in ids.chunks(IDS_AT_ONCE) {
        let entities: Vec<Vec<u8>> = ids.iter().map(|id| entity_of(id)).collect();
        let mut hits = BTreeSet::new();
        for (group, group_plan) in plan.groups.iter().enumerate() {
            if let Some(filter) = &group_plan.filter {
                matching(sources, group, filter, &entities, budget, &mut hits)?;
            }
        }
        found.extend(hits.into_iter().map(|(at, group)| Found { key: 0, id: ids[at].clone(), group }));
        budget.check(found.len() * size_of::<Found>())?;
        if found.len() >= needed {
            break;
        }
    }
    found.truncate(needed);
    found.drain(..found.len().min(usize::try_from(plan.offset).unwrap_or(usize::MAX)));
    Ok(found)
}

/// True when no trace has to be left out, so that traces without spans can be dropped when spans are read.
fn fits_whole(plan: &Plan, ids: usize) -> bool {
    let all = ids.saturating_mul(plan.groups.len());
    let unconditional = |filter: &Option<RowFilter>| filter.as_ref().is_some_and(RowFilter::is_empty);
    all as u64 <= plan.limit && plan.groups.iter().all(|group| unconditional(&group.filter))
}

fn all(plan: &Plan, ids: &[Box<[u8]>]) -> Vec<Found> {
    let groups = 0..plan.groups.len();
    ids.iter().flat_map(|id| groups.clone().map(|group| Found { key: 0, id: id.clone(), group })).collect()
}

/// Adds the position of every entity of which a span passes, with the group. Entities are in the order of ids, which
/// may differ from that of bytes.
fn matching(
    sources: &Sources<'_>,
    group: usize,
    filter: &RowFilter,
    entities: &[Vec<u8>],
    budget: &Budget,
    hits: &mut BTreeSet<(usize, usize)>,
) -> QueryResult<()> {
    let mut sorted: Vec<(&Vec<u8>, usize)> = entities.iter().zip(0..).collect();
    sorted.sort_unstable();
    let selector = EntitySelector::Exact(sorted.iter().map(|(entity, _)| (*entity).clone()).collect());
    let mut columns = ColumnSet::default();
    let placed = PlacedFilter::new(filter, &mut columns);
    let mut rows = Vec::new();
    for table in sources.tables(group) {
        sources.cancel.check()?;
        let series = table.series(sources.key(group), &selector)?;
        if series.is_empty() {
            continue;
        }
        let position = |series_index: usize| {
            let entity = series.entity(series_index);
            sorted.binary_search_by(|(known, _)| known.as_slice().cmp(entity)).ok().map(|at| sorted[at].1)
        };
        let request = ScanRequest {
            key: sources.key(group),
            time: TimeRange::ALL,
            columns: columns.keys(),
            collapse: false,
        };
        scan(sources, table, request, &series, budget, &mut |batch| {
            placed.select(batch, &mut rows);
            for row in &rows {
                let at = position(batch.series[*row as usize] as usize);
                hits.extend(at.map(|at| (at, group)));
            }
            hits.len() * size_of::<(usize, usize)>() * 2
        })?;
    }
    Ok(())
}
