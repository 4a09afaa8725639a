//! Evaluation of criteria: first per series, then per row where a series alone cannot decide.
//!
//! An indexed tag of a normal measure is an attribute of the series; a series without it shows each row's own value.
//! So a condition on a series is true, false, or open until the row is seen. The three are numbers in the order
//! false, open, true: a conjunction is the least of its sides and a disjunction the greatest (Kleene's logic), and
//! whole columns of outcomes are combined in one loop.

use super::criteria::{Criteria, Leaf, LeafTest, Target};
use crate::entity;
use crate::read;
use crate::schema::RowSchema;
use pipal_codec::Column;
use pipal_engine::scan::MergedSeries;
use pipal_model::{ColumnKey, ValueRef};

const FALSE: u8 = 0;
const OPEN: u8 = 1;
const TRUE: u8 = 2;

/// Outcomes of the criteria for the series of a table.
#[derive(Debug)]
struct SeriesFilter<'a> {
    criteria: &'a Criteria,
    leaves: Vec<Outcomes>,
    combined: Vec<u8>,
}

/// Outcomes of a condition, one per series.
#[derive(Debug)]
enum Outcomes {
    Same(u8),
    Each(Vec<u8>),
}

impl Outcomes {
    fn get(&self, series: usize) -> u8 {
        match self {
            Outcomes::Same(outcome) => *outcome,
            Outcomes::Each(outcomes) => outcomes[series],
        }
    }
}

fn outcome(matches: bool) -> u8 {
    if matches { TRUE } else { FALSE }
}

impl read::Criteria for Criteria {
    fn columns(&self, schema: &RowSchema) -> Vec<Option<ColumnKey>> {
        let column = |leaf: &Leaf| match leaf.target {
            Target::Column(column) => schema.layout().columns().get(column).map(|column| column.key.clone()),
            Target::Entity(_) | Target::Nothing => None,
        };
        self.leaves.iter().map(column).collect()
    }

    fn on_series<'a>(
        &'a self,
        series: &MergedSeries,
        attributes: &[Option<&Column>],
    ) -> Box<dyn read::SeriesOutcomes + 'a> {
        Box::new(SeriesFilter::new(self, series, attributes))
    }
}

impl<'a> SeriesFilter<'a> {
    /// Evaluates all conditions for all series.
    fn new(criteria: &'a Criteria, series: &MergedSeries, attributes: &[Option<&Column>]) -> Self {
        let mut leaves = Vec::with_capacity(criteria.leaves.len());
        for (i, leaf) in criteria.leaves.iter().enumerate() {
            leaves.push(match leaf.target {
                Target::Entity(position) => Outcomes::Each(on_entity(leaf, position, series)),
                Target::Nothing => Outcomes::Same(outcome(accepts(&leaf.test, ValueRef::Null))),
                Target::Column(_) => match attributes.get(i).copied().flatten() {
                    Some(column) => Outcomes::Each(on_attribute(leaf, column)),
                    None => Outcomes::Same(OPEN),
                },
            });
        }
        let combined = criteria.expression.outcomes(series.len(), &|leaf, out: &mut Vec<u8>| {
            out.extend((0..series.len()).map(|series| leaves[leaf].get(series)));
        });
        SeriesFilter { criteria, leaves, combined }
    }
}

impl read::SeriesOutcomes for SeriesFilter<'_> {
    fn chosen(&self) -> Vec<u32> {
        (0..self.combined.len() as u32).filter(|series| self.combined[*series as usize] != FALSE).collect()
    }

    fn is_open(&self) -> bool {
        self.combined.contains(&OPEN)
    }

    fn retain(&self, row_series: &[u32], columns: &[Option<&Column>], rows: &mut Vec<u32>) {
        let criteria = self.criteria;
        let mask = criteria.expression.outcomes(row_series.len(), &|leaf, out: &mut Vec<u8>| {
            let test = &criteria.leaves[leaf].test;
            let mut memo = Memo::new(test);
            for (row, series) in row_series.iter().enumerate() {
                out.push(match self.leaves[leaf].get(*series as usize) {
                    OPEN => memo.outcome(columns[leaf].map_or(ValueRef::Null, |column| column.get(row))),
                    decided => decided,
                });
            }
        });
        rows.retain(|row| mask[*row as usize] == TRUE);
    }

    fn heap_bytes(&self) -> usize {
        self.combined.len() * (1 + self.leaves.len())
    }
}

/// Series are sorted by entity, so that equal leading tags follow each other and are tested once.
fn on_entity(leaf: &Leaf, position: usize, series: &MergedSeries) -> Vec<u8> {
    let mut outcomes = Vec::with_capacity(series.len());
    let mut scratch = Vec::new();
    let mut last: Option<(&[u8], u8)> = None;
    for i in 0..series.len() {
        let slot = entity::slot(series.entity(i), position).unwrap_or_default();
        let found = match last {
            Some((bytes, found)) if bytes == slot => found,
            _ => outcome(match &leaf.test {
                LeafTest::Key(values) => values.binary_search_by(|value| (**value).cmp(slot)).is_ok(),
                LeafTest::Terms(test) => test.matches(entity::value(slot, 0, &mut scratch)),
            }),
        };
        last = Some((slot, found));
        outcomes.push(found);
    }
    outcomes
}

fn on_attribute(leaf: &Leaf, column: &Column) -> Vec<u8> {
    let mut memo = Memo::new(&leaf.test);
    let value_of = |series| match column.get(series) {
        value if value.is_missing() => OPEN,
        value => memo.outcome(value),
    };
    (0..column.len()).map(value_of).collect()
}

fn accepts(test: &LeafTest, value: ValueRef<'_>) -> bool {
    match test {
        LeafTest::Terms(test) => test.matches(value),
        LeafTest::Key(_) => false,
    }
}

/// Remembers the last value and its outcome: values repeat, and tests may cut them into tokens.
struct Memo<'a> {
    test: &'a LeafTest,
    last: Option<(ValueRef<'a>, u8)>,
}

impl<'a> Memo<'a> {
    fn new(test: &'a LeafTest) -> Self {
        Memo { test, last: None }
    }

    fn outcome(&mut self, value: ValueRef<'a>) -> u8 {
        match self.last {
            Some((known, found)) if known == value => found,
            _ => {
                let found = outcome(accepts(self.test, value));
                self.last = Some((value, found));
                found
            }
        }
    }
}
