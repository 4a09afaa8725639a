//! What a group holds: the names of its objects and the extent of its rows (server surface 2.8).

use super::Registry;
use super::kind::Kind;
use super::space::{GroupSpace, GroupState};
use crate::api::database::SchemaInfo;
use crate::status::SchemaError;
use pipal_engine::GroupData;
use pipal_model::Error;
use std::sync::Arc;

/// The answer of Inspect, without the facts about the node.
#[derive(Debug)]
pub struct Inspection {
    /// The group.
    pub group: Arc<GroupState>,
    /// Names of its objects.
    pub schemas: SchemaInfo,
    /// Its rows.
    pub data: GroupData,
}

impl Registry {
    /// Looks into a group.
    ///
    /// # Errors
    /// `NotFound`, `Storage`.
    pub async fn inspect(&self, name: &str) -> Result<Inspection, SchemaError> {
        let (space, group) = self.existing(name).ok_or(SchemaError::NotFound)?;
        let data = self.group_data(&group).await?;
        Ok(Inspection { group, schemas: schema_info(&space), data })
    }

    /// The extent of the rows of a group, taken on a thread that may wait for the disk.
    pub(super) async fn group_data(&self, group: &GroupState) -> Result<GroupData, SchemaError> {
        let (storage, id) = (self.0.storage.clone(), group.id);
        let data = tokio::task::spawn_blocking(move || storage.group_data(id));
        let lost = |lost: tokio::task::JoinError| Err(Error::internal("inspect group", lost.to_string()));
        Ok(data.await.unwrap_or_else(lost)?)
    }
}

/// The names of all objects of a group, sorted.
pub(super) fn schema_info(space: &GroupSpace) -> SchemaInfo {
    let names = |kind| space.names(kind).into_iter().map(String::from).collect();
    SchemaInfo {
        streams: names(Kind::Stream),
        measures: names(Kind::Measure),
        traces: names(Kind::Trace),
        properties: names(Kind::Property),
        index_rules: names(Kind::IndexRule),
        index_rule_bindings: names(Kind::IndexRuleBinding),
        topn_aggregations: names(Kind::TopNAggregation),
    }
}
