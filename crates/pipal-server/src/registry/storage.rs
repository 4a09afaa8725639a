//! What the registry needs from the storage of rows: a trait, so that it is tested without an engine.

use super::store::Completion;
use crate::api::common::{Catalog, Group, IntervalRule, interval_rule::Unit};
use pipal_engine::{GroupData, GroupId, GroupOptions};
use pipal_model::{Interval, IntervalUnit, Result};

/// The options of a group that passed its rules.
pub fn options_of(group: &Group) -> GroupOptions {
    let options = group.resource_opts.clone().unwrap_or_default();
    let documents = group.catalog == Catalog::Property as i32;
    let interval = |rule: Option<IntervalRule>| rule.filter(|_| !documents).map(|rule| interval_of(&rule));
    GroupOptions {
        segment_interval: interval(options.segment_interval),
        ttl: interval(options.ttl),
        shard_num: options.shard_num.max(1),
    }
}

fn interval_of(rule: &IntervalRule) -> Interval {
    let unit = match rule.unit == Unit::Hour as i32 {
        true => IntervalUnit::Hour,
        false => IntervalUnit::Day,
    };
    Interval { unit, num: rule.num }
}

/// Opens, closes and drops the rows of groups.
pub trait GroupStorage: Send + Sync {
    /// Opens the rows of an incarnation, or gives it new options. May wait for the disk.
    fn put_group(&self, id: GroupId, options: GroupOptions) -> Result<()>;
    /// Incarnations that have rows although the registry does not know them.
    fn unknown_groups(&self, live: &[GroupId]) -> Vec<GroupId>;
    /// Refuses writes to the incarnation from now on; calls `done` once all earlier ones are answered.
    fn close_gate(&self, id: GroupId, done: Completion);
    /// Drops all rows of an incarnation for good, then calls `done`.
    fn drop_group(&self, id: GroupId, done: Completion);
    /// What the incarnation holds.
    fn group_data(&self, id: GroupId) -> Result<GroupData>;
}
