//! Criteria of a stream query: conditions on the entity select series (stream specification, 6), all others filter
//! rows (7). The two do not know of each other: a row passes if its series is selected and the other conditions alone
//! accept it.

use crate::error::{QueryError, QueryResult};
use crate::expression::fold;
use crate::key_values::key_values;
use crate::patterns::{Pattern, Patterns};
use crate::read;
use crate::row_filter::{LeafRules, RowFilter, analyzer_of_namesake};
use crate::schema::{RowSchema, RuleKind, RuleRef};
use crate::series_patterns::SeriesPatterns;
use crate::term::{TermSet, TermTest, ValueTest};
use pipal_api::model::v1::condition::{BinaryOp, match_option::Operator};
use pipal_api::model::v1::{Condition, Criteria, tag_value::Value};
use pipal_codec::Column;
use pipal_engine::MergedSeries;
use pipal_model::{Analyzer, ColumnKey};

/// Compiled criteria of one group.
#[derive(Debug)]
pub(super) struct StreamCriteria {
    series: SeriesPatterns,
    /// Conditions on rows.
    pub rows: RowFilter,
}

impl StreamCriteria {
    /// Compiles criteria for a group. Also gives the patterns that select series; none when they contradict each other.
    /// Errors: those of the specification, as invalid queries.
    pub fn compile(criteria: &Criteria, schema: &RowSchema) -> QueryResult<(Self, Option<Vec<Pattern>>)> {
        let rows = RowFilter::compile(criteria, schema, &StreamRules { schema })?;
        let patterns = fold(
            criteria,
            &mut |condition| series_of(condition, schema),
            &mut |how, left: Patterns, right| left.join(how, right),
        )?;
        let patterns = patterns.into_servable();
        let series = SeriesPatterns::new(patterns.as_deref().unwrap_or_default());
        Ok((StreamCriteria { series, rows }, patterns))
    }
}

fn op_of(condition: &Condition) -> BinaryOp {
    BinaryOp::try_from(condition.op).unwrap_or_default()
}

/// The series that a condition selects. Errors: other operators than EQ and IN on the entity; MATCH where a filter of
/// blocks is all that a rule builds.
fn series_of(condition: &Condition, schema: &RowSchema) -> QueryResult<Patterns> {
    let slots = schema.entity.len();
    let op = op_of(condition);
    let Some(position) = schema.entity_position(&condition.name) else {
        let skipping = rule_of(schema, &condition.name).is_some_and(|rule| rule.kind == RuleKind::Skipping);
        if op == BinaryOp::Match && skipping {
            let detail = format!("{}: MATCH: unsupported condition operation", condition.name);
            return Err(QueryError::invalid(detail));
        }
        return Ok(Patterns::open(slots));
    };
    let values = key_values(op, condition.value.as_ref()).ok_or_else(|| {
        let (op, name) = (op.as_str_name(), &condition.name);
        QueryError::invalid(format!(
            "operation {op} on entity tag {name:?} is not supported: only EQ and IN are supported: \
             unsupported condition operation"
        ))
    })?;
    Ok(Patterns::of_key(slots, position, &values))
}

/// The rule of a tag: the first that lists it and means something to streams.
fn rule_of<'a>(schema: &'a RowSchema, tag: &str) -> Option<&'a RuleRef> {
    let means_something = |rule: &&RuleRef| matches!(rule.kind, RuleKind::Inverted | RuleKind::Skipping);
    schema.rules.iter().filter(means_something).find(|rule| rule.tags.iter().any(|known| **known == *tag))
}

/// How MATCH works (stream specification, 7.1): the tag needs an INVERTED rule, whose terms the literal is looked up in,
/// and the row must hold every word by the analyzer of the rule that is named like the tag.
struct StreamRules<'a> {
    schema: &'a RowSchema,
}

impl StreamRules<'_> {
    fn inverted_rule(&self, condition: &Condition) -> Option<&RuleRef> {
        rule_of(self.schema, &condition.name).filter(|rule| rule.kind == RuleKind::Inverted)
    }
}

impl LeafRules for StreamRules<'_> {
    fn is_removed(&self, condition: &Condition) -> bool {
        self.schema.entity_position(&condition.name).is_some()
    }

    fn analyzer(&self, condition: &Condition) -> Option<Analyzer> {
        self.inverted_rule(condition)?;
        analyzer_of_namesake(self.schema, &condition.name)
    }

    /// The words by the analyzer of the condition, in the terms of the index. Without such an analyzer they are those
    /// that the row must hold anyway.
    fn index_test(&self, condition: &Condition) -> Option<ValueTest> {
        let option = condition.match_option.as_ref().filter(|option| !option.analyzer.is_empty())?;
        let indexed_by = Analyzer::by_name(&self.inverted_rule(condition)?.analyzer);
        let Some(Value::Str(text)) = condition.value.as_ref().and_then(|value| value.value.as_ref()) else {
            return None;
        };
        let mut words = Vec::new();
        Analyzer::by_name(&option.analyzer).tokens(text.value.as_bytes(), |word| {
            words.push(word.into());
            true
        });
        let words = TermSet::new(words);
        let every = option.operator == Operator::And as i32;
        let test = if every { TermTest::All(words) } else { TermTest::Any(words) };
        Some(ValueTest { test, negated: false, analyzer: indexed_by })
    }
}

/// What the criteria say of the series of a table.
struct Selected<'a> {
    chosen: Vec<u32>,
    rows: &'a RowFilter,
}

impl read::Criteria for StreamCriteria {
    fn columns(&self, _schema: &RowSchema) -> Vec<Option<ColumnKey>> {
        self.rows.leaves.iter().map(|leaf| leaf.column.clone()).collect()
    }

    fn on_series<'a>(
        &'a self,
        series: &MergedSeries,
        _attributes: &[Option<&Column>],
    ) -> Box<dyn read::SeriesOutcomes + 'a> {
        let mut scratch = Vec::new();
        let accepts = |at: &u32| self.series.accept(series.entity(*at as usize), &mut scratch);
        Box::new(Selected { chosen: (0..series.len() as u32).filter(accepts).collect(), rows: &self.rows })
    }
}

impl read::SeriesOutcomes for Selected<'_> {
    fn chosen(&self) -> Vec<u32> {
        self.chosen.clone()
    }

    fn is_open(&self) -> bool {
        !self.rows.is_empty()
    }

    fn retain(&self, row_series: &[u32], columns: &[Option<&Column>], rows: &mut Vec<u32>) {
        self.rows.retain(columns, row_series.len(), rows);
    }

    fn heap_bytes(&self) -> usize {
        self.chosen.capacity() * size_of::<u32>()
    }
}
