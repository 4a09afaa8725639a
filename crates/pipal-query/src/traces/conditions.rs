//! What conditions mean for traces (trace specification, 5 and 7): ids that they list, and which of them rows are
//! tested with.

use crate::error::{QueryError, QueryResult};
use crate::expression::{Join, fold};
use crate::row_filter::{LeafRules, analyzer_of_namesake};
use crate::schema::{RowSchema, TraceTags};
use pipal_api::model::v1::{Condition, Criteria, condition::BinaryOp, tag_value::Value as Literal};
use pipal_model::{Analyzer, ColumnType};

/// The ids that EQ and IN on `tag` list anywhere in the criteria, sorted and distinct; none without such a condition.
/// Conditions with null or a number list nothing.
pub(super) fn listed_ids(criteria: &Criteria, tag: &str) -> QueryResult<Option<Vec<Box<[u8]>>>> {
    let mut ids: Option<Vec<Box<[u8]>>> = None;
    fold(
        criteria,
        &mut |condition| {
            if condition.name == tag && matches!(op_of(condition), BinaryOp::Eq | BinaryOp::In) {
                let ids = ids.get_or_insert_default();
                match literal_of(condition) {
                    Some(Literal::Str(text)) => ids.push(text.value.as_bytes().into()),
                    Some(Literal::StrArray(list)) => {
                        ids.extend(list.value.iter().map(|id| id.as_bytes().into()))
                    }
                    _ => {}
                }
            }
            Ok(())
        },
        &mut |_, (), ()| Ok(()),
    )?;
    if let Some(ids) = &mut ids {
        ids.sort_unstable();
        ids.dedup();
    }
    Ok(ids)
}

/// Which conditions of a group take part in its row filter.
pub(super) struct TraceRules<'a> {
    pub schema: &'a RowSchema,
    pub tags: &'a TraceTags,
    /// Of an ordered query: tags by which series are selected. Empty in a lookup.
    pub series_tags: &'a [Box<str>],
    /// Of an ordered query: the tag that gives the order, if the rule has its name.
    pub order_tag: Option<&'a str>,
}

impl TraceRules<'_> {
    /// Conditions on an order tag whose rule has its name do nothing in the reference, but for two kinds: a range of
    /// integers, which bounds the keys, and EQ, of which nothing comes. Both are tested with each row.
    fn is_without_effect(&self, condition: &Condition) -> bool {
        let tag = self.schema.find_tag(&condition.name).and_then(|place| self.schema.tag(place));
        let is_int = tag.is_some_and(|tag| tag.ty == Some(ColumnType::Int))
            && matches!(literal_of(condition), Some(Literal::Int(_)));
        match op_of(condition) {
            BinaryOp::Eq => false,
            BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => !is_int,
            _ => true,
        }
    }
}

impl LeafRules for TraceRules<'_> {
    fn is_removed(&self, condition: &Condition) -> bool {
        let name = &*condition.name;
        name == &*self.tags.trace_id
            || name == &*self.tags.span_id
            || self.series_tags.iter().any(|tag| **tag == *name)
            || (self.order_tag == Some(name) && self.is_without_effect(condition))
    }

    fn analyzer(&self, condition: &Condition) -> Option<Analyzer> {
        analyzer_of_namesake(self.schema, &condition.name)
    }
}

/// Refuses an OR between ids and other conditions, as the reference does.
pub(super) fn refuse_or(criteria: &Criteria, rules: &TraceRules<'_>) -> QueryResult<()> {
    let or_error = || QueryError::invalid("global index doesn't support OR");
    fold(criteria, &mut |condition| Ok(!rules.is_removed(condition)), &mut |how, left, right| {
        if how == Join::Or && (left || right) { Err(or_error()) } else { Ok(left || right) }
    })?;
    Ok(())
}

/// True when nothing but EQ on integers is tested with the rows of an ordered query. The reference answers such a
/// query with nothing, and a shared case asserts that (trace specification, 7.2).
pub(super) fn has_only_int_equals(criteria: &Criteria, rules: &TraceRules<'_>) -> QueryResult<bool> {
    let all = fold(
        criteria,
        &mut |condition| {
            let tag = rules.schema.find_tag(&condition.name).and_then(|place| rules.schema.tag(place));
            let is_int = tag.is_some_and(|tag| tag.ty == Some(ColumnType::Int));
            Ok((!rules.is_removed(condition)).then(|| is_int && op_of(condition) == BinaryOp::Eq))
        },
        &mut |_, left: Option<bool>, right| {
            Ok(match (left, right) {
                (Some(left), Some(right)) => Some(left && right),
                (one, other) => one.or(other),
            })
        },
    )?;
    Ok(all == Some(true))
}

/// The operator of a condition.
pub(super) fn op_of(condition: &Condition) -> BinaryOp {
    BinaryOp::try_from(condition.op).unwrap_or_default()
}

/// The literal of a condition.
pub(super) fn literal_of(condition: &Condition) -> Option<&Literal> {
    condition.value.as_ref()?.value.as_ref()
}
