//! What a start finds in the ledgers.

use super::TopN;
use super::store::{LedgerRow, read_ledger};
use crate::api::common::Catalog;
use crate::api::database::TopNAggregation;
use crate::registry::{GroupState, SchemaObject};
use pipal_model::Result;
use std::sync::atomic::Ordering;

impl TopN {
    /// Learns the windows of an earlier process. Pending ones are published with the first tick. Reads files.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn recover(&self) -> Result<()> {
        for group in self.0.registry.groups() {
            let is_ranked = group.catalog() == Catalog::Measure as i32
                && !self.0.registry.list::<TopNAggregation>(group.name()).is_empty();
            if !is_ranked || group.is_deleting() {
                continue;
            }
            let mut rows = read_ledger(self.engine(), group.id)?;
            rows.sort_unstable_by(|a, b| (&a.name, a.window).cmp(&(&b.name, b.window)));
            rows.iter().for_each(|row| self.recover_window(&group, row));
        }
        Ok(())
    }

    fn recover_window(&self, group: &GroupState, row: &LedgerRow) {
        self.0.versions.fetch_max(row.version, Ordering::SeqCst);
        let message = self.0.registry.get::<TopNAggregation>(group.name(), &row.name);
        let created = message.and_then(|message| message.created_at()).unwrap_or_default();
        let created = created.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(created.nanos));
        let aggregation = self.known(group.id, group.name(), &row.name);
        let definition = self.current(&aggregation);
        // What was pending when an earlier aggregation of this name was deleted stays as it was.
        let is_pending = row.is_pending && definition.is_some() && row.version >= created;
        aggregation.marks.lock().recover(row.window, is_pending);
        if let Some(definition) = definition.filter(|_| is_pending) {
            self.0.processor.lock().add_pending(&aggregation, &definition, row.window);
        }
    }
}
