//! From criteria to a row filter.

use super::test::{Elements, RowTest};
use super::{LeafRules, RowFilter, RowLeaf};
use crate::error::{QueryError, QueryResult};
use crate::expression::{Expression, Join, fold};
use crate::schema::{RowSchema, Slot, TagDef};
use crate::term::{TermSet, TermTest, ValueTest};
use pipal_api::model::v1::{Condition, Criteria, condition::BinaryOp, tag_value::Value as Literal};
use pipal_model::{Analyzer, ColumnType, Value};
use std::cmp::Ordering;

impl RowFilter {
    /// Compiles criteria for a group. Errors: malformed trees, and conditions that the specification refuses whatever
    /// the rows; also of conditions that take no part.
    pub fn compile(criteria: &Criteria, schema: &RowSchema, rules: &impl LeafRules) -> QueryResult<Self> {
        let mut leaves = Vec::new();
        let expression = fold(
            criteria,
            &mut |condition| {
                let (tag, literal) = check_condition(condition, schema)?;
                if rules.is_removed(condition) || matches!(tag.slot, Slot::Entity(_)) {
                    return Ok(None);
                }
                let test = compile_test(condition, literal, tag, rules)?;
                let column = match tag.slot {
                    Slot::Column(column) => schema.layout().columns().get(column),
                    Slot::Entity(_) | Slot::Nowhere => None,
                };
                let column = column.map(|column| column.key.clone());
                let further = rules.index_test(condition).map(RowTest::words);
                let mut expression = None;
                for test in [test].into_iter().chain(further) {
                    leaves.push(RowLeaf { column: column.clone(), test });
                    expression = Join::And.of(expression, Some(Expression::Leaf(leaves.len() - 1)));
                }
                Ok(expression)
            },
            &mut |how, left, right| Ok(how.of(left, right)),
        )?;
        Ok(RowFilter { leaves, expression })
    }
}

/// The tag and the literal of a condition. Errors: there is no such tag, the operator is missing, the literal is
/// missing or of a type that no condition takes.
fn check_condition<'a, 's>(
    condition: &'a Condition,
    schema: &'s RowSchema,
) -> QueryResult<(&'s TagDef, &'a Literal)> {
    let name = &condition.name;
    let tag = schema.find_tag(name).and_then(|place| schema.tag(place)).ok_or_else(|| {
        let detail = format!("tag {name:?} does not exist in the current schema: tag is not defined");
        QueryError::invalid(detail)
    })?;
    let literal = condition.value.as_ref().and_then(|value| value.value.as_ref());
    let literal =
        literal.ok_or_else(|| QueryError::invalid(format!("the condition on {name:?} has no value")))?;
    if matches!(literal, Literal::BinaryData(_) | Literal::Timestamp(_)) {
        return Err(unsupported(name));
    }
    if op_of(condition) == BinaryOp::Unspecified {
        let detail = format!("{name}: no operator: unsupported condition operation");
        return Err(QueryError::invalid(detail));
    }
    let is_array = matches!(tag.ty, Some(ColumnType::StrArray | ColumnType::IntArray));
    let refused = match op_of(condition) {
        BinaryOp::In if is_array => "in",
        BinaryOp::NotIn if is_array => "not in",
        _ => return Ok((tag, literal)),
    };
    Err(QueryError::invalid(format!("{name}: {refused} condition is not supported for array type")))
}

fn op_of(condition: &Condition) -> BinaryOp {
    BinaryOp::try_from(condition.op).unwrap_or_default()
}

fn unsupported(name: &str) -> QueryError {
    QueryError::invalid(format!("{name}: unsupported condition value type"))
}

fn compile_test(
    condition: &Condition,
    literal: &Literal,
    tag: &TagDef,
    rules: &impl LeafRules,
) -> QueryResult<RowTest> {
    Ok(match op_of(condition) {
        BinaryOp::Eq => equal(literal),
        BinaryOp::Ne => equal(literal).negated(),
        BinaryOp::Lt => side(literal, Ordering::Less, false),
        BinaryOp::Le => side(literal, Ordering::Less, true),
        BinaryOp::Gt => side(literal, Ordering::Greater, false),
        BinaryOp::Ge => side(literal, Ordering::Greater, true),
        BinaryOp::In => one_of(literal),
        BinaryOp::NotIn => one_of(literal).negated(),
        BinaryOp::Having => having(literal),
        BinaryOp::NotHaving => having(literal).negated(),
        BinaryOp::Match => match literal {
            Literal::Str(text) => words(&text.value, rules.analyzer(condition)),
            _ => return Err(unsupported(&tag.name)),
        },
        BinaryOp::Unspecified => RowTest::nothing(),
    })
}

fn scalar(literal: &Literal) -> Option<Value> {
    match literal {
        Literal::Str(text) => Some(Value::Str(text.value.clone().into_bytes())),
        Literal::Int(number) => Some(Value::Int(number.value)),
        _ => None,
    }
}

fn elements(literal: &Literal) -> Option<Elements> {
    match literal {
        Literal::StrArray(list) => {
            Some(Elements::of_texts(list.value.iter().map(|text| text.as_bytes().into()).collect()))
        }
        Literal::IntArray(list) => Some(Elements::of_ints(list.value.clone())),
        _ => None,
    }
}

fn equal(literal: &Literal) -> RowTest {
    match literal {
        Literal::StrArray(list) => RowTest::equal_texts(list.value.iter().map(|text| text.as_bytes())),
        Literal::IntArray(list) => RowTest::equal_ints(list.value.iter().copied()),
        literal => scalar(literal).map_or_else(RowTest::nothing, RowTest::equal),
    }
}

fn side(literal: &Literal, side: Ordering, or_equal: bool) -> RowTest {
    scalar(literal).map_or_else(RowTest::nothing, |bound| RowTest::side(side, or_equal, bound))
}

fn one_of(literal: &Literal) -> RowTest {
    elements(literal).map_or_else(RowTest::nothing, RowTest::one_of)
}

fn having(literal: &Literal) -> RowTest {
    match scalar(literal) {
        Some(scalar) => RowTest::holds(scalar),
        None => elements(literal).map_or_else(RowTest::nothing, RowTest::holds_all),
    }
}

/// A row must have every word of the literal, whatever operator the condition names. Empty text finds nothing.
fn words(text: &str, analyzer: Option<Analyzer>) -> RowTest {
    let Some(analyzer) = analyzer.filter(|_| !text.is_empty()) else { return RowTest::nothing() };
    let mut tokens = Vec::new();
    analyzer.tokens(text.as_bytes(), |token| {
        tokens.push(token.into());
        true
    });
    RowTest::words(ValueTest { test: TermTest::All(TermSet::new(tokens)), negated: false, analyzer })
}
