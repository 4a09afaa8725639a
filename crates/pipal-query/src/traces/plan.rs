//! Analysis: from a request and the schemas of its groups to a plan (trace specification, 3, 4, 8 and 9).

use super::conditions::{TraceRules, has_only_int_equals, listed_ids, refuse_or};
use super::series::{selection, series_tags};
use super::{GroupTarget, QueryContext};
use crate::error::{QueryError, QueryResult};
use crate::expression::Join;
use crate::row_filter::{Elements, RowFilter, RowLeaf, RowTest};
use crate::schema::{RowSchema, Slot, TraceTags};
use pipal_api::model::v1::{Criteria, QueryOrder, Sort};
use pipal_api::trace::v1::QueryRequest;
use pipal_model::{ColumnKey, Error, OrderKey};
use std::fmt;

/// Traces given out when the request does not say.
const LIMIT_DEFAULT: u64 = 20;

/// An analysed query.
#[derive(Debug)]
pub(super) struct Plan {
    /// How traces are found.
    pub mode: Mode,
    /// One per group of the context.
    pub groups: Vec<GroupPlan>,
    /// Tags of the spans of the answer.
    pub output: Output,
    /// Traces of the result to leave out.
    pub offset: u64,
    /// Most traces to give out.
    pub limit: u64,
}

/// The two modes, and the query of which nothing comes whatever the data.
#[derive(Debug)]
pub(super) enum Mode {
    /// Nothing.
    Nothing,
    /// These trace ids, sorted and distinct.
    Lookup(Vec<Box<[u8]>>),
    /// All traces, by key.
    Ordered {
        /// Greatest key first.
        descending: bool,
    },
}

/// What to read of one group.
#[derive(Debug, Default)]
pub(super) struct GroupPlan {
    /// What one span at least of a trace must meet; none when no span can.
    pub filter: Option<RowFilter>,
    /// The key of a span in an ordered query.
    pub key: Key,
    /// Columns of the ordinary tags of the output; none where the group does not have the tag.
    pub tag_columns: Vec<Option<ColumnKey>>,
    /// The column of the span id.
    pub span_id_column: Option<ColumnKey>,
}

/// Where the key of a span comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Key {
    /// The time of the span.
    Time,
    /// An integer or a time in a column; 0 where there is none.
    Column(ColumnKey),
    /// The group does not have the order tag: the key is 0.
    #[default]
    Zero,
}

impl Key {
    /// The key as companions know it; none for one that they do not have.
    pub fn order(&self) -> Option<OrderKey> {
        match self {
            Key::Time => Some(OrderKey::Time),
            Key::Column(column) => Some(OrderKey::Column(column.clone())),
            Key::Zero => None,
        }
    }
}

/// Tags of the spans of the answer.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Ordinary tags in the order of the request.
    pub tags: Vec<String>,
    /// The name of the trace id tag, if it is shown.
    pub trace_id: Option<String>,
    /// The name of the span id tag, if it is shown.
    pub span_id: Option<String>,
}

impl Plan {
    /// Analyses a request.
    pub fn new(context: &QueryContext<'_>, request: &QueryRequest) -> QueryResult<Plan> {
        let groups = context.groups;
        let tags = common_tags(groups)?;
        let output = Output::of(request, groups, tags)?;
        let mode = Mode::of(request, tags)?;
        let group_plan = |(i, group): (usize, &GroupTarget)| {
            let mut plan = GroupPlan::default();
            plan.set_conditions(request, &group.schema, tags, &mode, i)?;
            plan.tag_columns = output.tags.iter().map(|tag| column_of(&group.schema, tag)).collect();
            plan.span_id_column = column_of(&group.schema, &tags.span_id);
            Ok(plan)
        };
        let plans = groups.iter().enumerate().map(group_plan).collect::<QueryResult<Vec<_>>>()?;
        if matches!(mode, Mode::Ordered { .. }) {
            require_equal_series_tags(groups)?;
        }
        Ok(Plan {
            mode,
            groups: plans,
            output,
            offset: u64::from(request.offset),
            limit: if request.limit == 0 { LIMIT_DEFAULT } else { u64::from(request.limit) },
        })
    }

    /// Traces that have to be found: those of the answer, and those before them.
    pub fn traces_needed(&self) -> usize {
        usize::try_from(self.offset + self.limit).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mode {
            Mode::Nothing => write!(f, "nothing")?,
            Mode::Lookup(ids) => write!(f, "lookup of {} ids", ids.len())?,
            Mode::Ordered { descending } => write!(f, "ordered descending={descending}")?,
        }
        for group in &self.groups {
            write!(f, "; key {:?} filter {:?}", group.key, group.filter)?;
        }
        write!(f, "; offset {} limit {}", self.offset, self.limit)
    }
}

/// The special tags, which must have the same names in all groups.
fn common_tags(groups: &[GroupTarget]) -> QueryResult<&TraceTags> {
    let mut common: Option<&TraceTags> = None;
    for group in groups {
        let internal = || Error::internal("plan", "the schema of a trace has no special tags");
        let tags = group.schema.trace_tags.as_ref().ok_or_else(internal)?;
        let first = *common.get_or_insert(tags);
        let pairs = [
            ("trace id", &first.trace_id, &tags.trace_id),
            ("span id", &first.span_id, &tags.span_id),
            ("timestamp", &first.timestamp, &tags.timestamp),
        ];
        for (what, expected, found) in pairs {
            if expected != found {
                let detail = format!("{what} tag name mismatch: {expected} and {found}");
                return Err(QueryError::invalid(detail));
            }
        }
    }
    common.ok_or_else(|| QueryError::invalid("no groups"))
}

fn require_equal_series_tags(groups: &[GroupTarget]) -> QueryResult<()> {
    let Some((first, others)) = groups.split_first() else { return Ok(()) };
    if others.iter().any(|group| series_tags(&group.schema) != series_tags(&first.schema)) {
        return Err(QueryError::invalid("the index rules of the groups have different leading tags"));
    }
    Ok(())
}

impl Mode {
    fn of(request: &QueryRequest, tags: &TraceTags) -> QueryResult<Mode> {
        let ids =
            request.criteria.as_ref().map(|criteria| listed_ids(criteria, &tags.trace_id)).transpose()?;
        if let Some(ids) = ids.flatten().filter(|ids| !ids.is_empty()) {
            return Ok(Mode::Lookup(ids));
        }
        match &request.order_by {
            None => {
                Err(QueryError::invalid("invalid query options: either traceIDs or order must be specified"))
            }
            Some(order) if order.index_rule_name.is_empty() => Ok(Mode::Nothing),
            Some(order) => Ok(Mode::Ordered { descending: order.sort == Sort::Desc as i32 }),
        }
    }
}

impl GroupPlan {
    fn set_conditions(
        &mut self,
        request: &QueryRequest,
        schema: &RowSchema,
        tags: &TraceTags,
        mode: &Mode,
        position: usize,
    ) -> QueryResult<()> {
        let mut rules = TraceRules { schema, tags, series_tags: &[], order_tag: None };
        if let (Mode::Ordered { .. }, Some(order)) = (mode, &request.order_by) {
            let tag = order_tag(order, schema, position)?;
            self.key = key_of(tag, schema, tags);
            rules.series_tags = series_tags(schema);
            rules.order_tag = Some(tag).filter(|tag| *tag == order.index_rule_name);
        }
        self.filter = match &request.criteria {
            None => Some(RowFilter::default()),
            Some(criteria) => filter_of(criteria, &rules, mode)?,
        };
        Ok(())
    }
}

/// The condition on single spans: row filter, span ids and series. None when no span can meet it.
fn filter_of(criteria: &Criteria, rules: &TraceRules<'_>, mode: &Mode) -> QueryResult<Option<RowFilter>> {
    let mut filter = RowFilter::compile(criteria, rules.schema, rules)?;
    if matches!(mode, Mode::Lookup(_)) {
        refuse_or(criteria, rules)?;
    }
    if let Some(ids) = listed_ids(criteria, &rules.tags.span_id)? {
        let column = column_of(rules.schema, &rules.tags.span_id);
        let leaf = RowLeaf { column, test: RowTest::one_of(Elements::of_texts(ids)) };
        filter = filter.join(Join::And, RowFilter::of_leaf(leaf));
    }
    if !matches!(mode, Mode::Ordered { .. }) {
        return Ok(Some(filter));
    }
    let Some(series) = selection(criteria, rules.schema)? else { return Ok(None) };
    if has_only_int_equals(criteria, rules)? {
        return Ok(None);
    }
    Ok(Some(filter.join(Join::And, series)))
}

/// The tag that gives the order: the last one of the rule. Errors: the group does not have the rule, or it does not
/// support sorting.
fn order_tag<'a>(order: &QueryOrder, schema: &'a RowSchema, position: usize) -> QueryResult<&'a str> {
    let name = &order.index_rule_name;
    let rule = schema.find_rule(name).ok_or_else(|| {
        let place = if position == 0 { String::new() } else { format!(" in schema {position}") };
        QueryError::invalid(format!("index rule {name} not found{place}"))
    })?;
    if rule.no_sort {
        return Err(QueryError::invalid(format!("{name}: index does not support sorting")));
    }
    Ok(rule.tags.last().map_or("", |tag| tag))
}

fn key_of(tag: &str, schema: &RowSchema, tags: &TraceTags) -> Key {
    if *tag == *tags.timestamp {
        return Key::Time;
    }
    column_of(schema, tag).map_or(Key::Zero, Key::Column)
}

fn column_of(schema: &RowSchema, tag: &str) -> Option<ColumnKey> {
    match schema.tag(schema.find_tag(tag)?)?.slot {
        Slot::Column(column) => Some(schema.layout().columns().get(column)?.key.clone()),
        Slot::Entity(_) | Slot::Nowhere => None,
    }
}

impl Output {
    /// Errors: a tag that no group has.
    fn of(request: &QueryRequest, groups: &[GroupTarget], tags: &TraceTags) -> QueryResult<Output> {
        let mut output = Output::default();
        for name in &request.tag_projection {
            if **name == *tags.trace_id {
                output.trace_id = Some(name.clone());
            } else if **name == *tags.span_id {
                output.span_id = Some(name.clone());
            } else if groups.iter().any(|group| group.schema.find_tag(name).is_some()) {
                output.tags.push(name.clone());
            } else {
                return Err(QueryError::invalid(format!("{name}: tag is not defined")));
            }
        }
        Ok(output)
    }
}
