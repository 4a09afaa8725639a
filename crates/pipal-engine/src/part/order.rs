//! The order that a part's rows must arrive in (SE-022). Callers sort; a violation is a defect of ours, found
//! here before it reaches the disk.

use super::dictionary::ENTITY_BYTES_MAX;
use crate::rows::{CHUNK_ROWS_MAX, ResourceHead, RowBatch};
use crate::terms::has_terms;
use pipal_model::{Analyzer, ColumnKey, Error, Result, RowPolicy};

/// Remembers the last row that was accepted.
#[derive(Default)]
pub(super) struct OrderCheck {
    head: Option<ResourceHead>,
    entity: Vec<u8>,
    time: i64,
}

/// How a batch continues what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Continuation {
    /// The batch begins a resource.
    pub(super) new_resource: bool,
    /// The first series of the batch is the last one of the batch before.
    pub(super) same_series: bool,
}

fn violation(head: &ResourceHead, detail: &str) -> Error {
    Error::internal("write part", detail).about(&head.key.name)
}

impl OrderCheck {
    /// Accepts a batch or says what is wrong with it.
    pub(super) fn accept(
        &mut self,
        head: &ResourceHead,
        series: &[(&[u8], u32)],
        rows: &RowBatch,
    ) -> Result<Continuation> {
        check_shape(head, series, rows)?;
        let new_resource = self.accept_head(head)?;
        let mut same_series = false;
        let mut start = 0;
        for (i, &(entity, count)) in series.iter().enumerate() {
            let first_of_resource = new_resource && i == 0;
            let same = !first_of_resource && entity == self.entity;
            if same && i == 0 {
                same_series = true;
            } else if !first_of_resource && entity <= &self.entity[..] {
                return Err(violation(head, "series out of order"));
            }
            let end = start + count as usize;
            self.accept_times(head, same, &rows.times[start..end])?;
            start = end;
            self.entity.clear();
            self.entity.extend_from_slice(entity);
        }
        Ok(Continuation { new_resource, same_series })
    }

    fn accept_head(&mut self, head: &ResourceHead) -> Result<bool> {
        let Some(last) = &self.head else {
            self.head = Some(head.clone());
            return Ok(true);
        };
        if last.key == head.key {
            let same_uses = last.indexed == head.indexed && last.filters == head.filters;
            let same_columns = last.columns == head.columns && same_uses;
            if last.policy != head.policy || !same_columns || last.orders != head.orders {
                return Err(violation(
                    head,
                    "a resource that changes its policy, columns or orders in a part",
                ));
            }
            return Ok(false);
        }
        if last.key > head.key {
            return Err(violation(head, "resources out of order"));
        }
        self.head = Some(head.clone());
        Ok(true)
    }

    fn accept_times(&mut self, head: &ResourceHead, same_series: bool, times: &[i64]) -> Result<()> {
        if head.policy.one_row_per_entity() && (same_series || times.len() > 1) {
            return Err(violation(head, "two rows of one entity"));
        }
        let strict = head.policy == RowPolicy::Versioned;
        let pairs_ascend = times.windows(2).all(|pair| pair[0] < pair[1] || !strict && pair[0] == pair[1]);
        let follows = match times.first() {
            Some(&first) if same_series => self.time < first || !strict && self.time == first,
            _ => true,
        };
        if !pairs_ascend || !follows {
            return Err(violation(head, "times of a series out of order"));
        }
        self.time = times.last().copied().unwrap_or(self.time);
        Ok(())
    }
}

fn check_shape(head: &ResourceHead, series: &[(&[u8], u32)], rows: &RowBatch) -> Result<()> {
    if rows.is_empty() || rows.len() > CHUNK_ROWS_MAX || !rows.is_consistent() {
        return Err(violation(
            head,
            "a batch without rows, with too many, or with columns of different length",
        ));
    }
    let types_match =
        rows.columns.iter().zip(head.columns.iter()).all(|(column, key)| column.column_type() == key.ty);
    if rows.columns.len() != head.columns.len() || !types_match {
        return Err(violation(head, "a batch with other columns than its resource"));
    }
    if !head.columns.is_sorted() {
        return Err(violation(head, "columns out of order"));
    }
    let may_index = |(column, indexed): (&ColumnKey, &bool)| !*indexed || has_terms(column.ty);
    if head.indexed.len() != head.columns.len()
        || !head.columns.iter().zip(head.indexed.iter()).all(may_index)
    {
        return Err(violation(head, "an index of a column that has no terms"));
    }
    let may_filter =
        |(column, filter): (&ColumnKey, &Option<Analyzer>)| filter.is_none() || has_terms(column.ty);
    if head.filters.len() != head.columns.len()
        || !head.columns.iter().zip(head.filters.iter()).all(may_filter)
    {
        return Err(violation(head, "a filter of a column that has no terms"));
    }
    if !head.orders.columns().all(|column| head.columns.binary_search(column).is_ok()) {
        return Err(violation(head, "an order of a column that is not there"));
    }
    let counted: usize = series.iter().map(|(_, count)| *count as usize).sum();
    if counted != rows.len() || series.iter().any(|(_, count)| *count == 0) {
        return Err(violation(head, "series whose rows do not add up"));
    }
    if head.policy != RowPolicy::Document && rows.deleted.contains(&true) {
        return Err(violation(head, "a tombstone of a resource that has none"));
    }
    if series.iter().any(|(entity, _)| entity.len() > ENTITY_BYTES_MAX) {
        return Err(violation(head, "an entity above its limit"));
    }
    Ok(())
}
