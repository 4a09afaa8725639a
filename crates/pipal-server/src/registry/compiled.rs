//! A measure with everything that writing and querying it need, resolved once per change of the schema.

use super::space::{GroupSpace, GroupState};
use crate::api::common::Catalog;
use crate::api::database::{IndexRule, Measure, TopNAggregation};
use pipal_model::Result;
use pipal_query::schema::MeasureSchema;
use std::sync::Arc;

/// One revision of a measure, its group and the index rules that are bound to it.
#[derive(Debug)]
pub struct CompiledMeasure {
    /// The group of the measure, as it was when this was compiled; it is compiled again when the group changes.
    pub group: Arc<GroupState>,
    /// The stored message, with its revision and times.
    pub definition: Arc<Measure>,
    /// The definition as writes and queries use it.
    pub schema: Arc<MeasureSchema>,
    /// The bound rules that exist, each once, in the order of binding names and then of their lists.
    pub rules: Vec<Arc<IndexRule>>,
    /// The Top-N aggregations of the same group that rank it.
    pub aggregations: Vec<Arc<TopNAggregation>>,
}

impl CompiledMeasure {
    /// Resolves the rules. The times of a binding are not evaluated, expired ones act like others
    /// (server surface 3.1).
    ///
    /// # Errors
    /// The definition cannot be compiled; none that passed its rules is like that.
    pub fn compile(space: &GroupSpace, group: Arc<GroupState>, definition: Arc<Measure>) -> Result<Self> {
        let name = definition.metadata.as_ref().map_or("", |m| &m.name);
        let rules = bound_rules(space, Catalog::Measure, name);
        let by_value: Vec<IndexRule> = rules.iter().map(|rule| IndexRule::clone(rule)).collect();
        let schema = Arc::new(MeasureSchema::compile(&definition, &by_value)?);
        let aggregations = space.aggregations_of(name);
        Ok(CompiledMeasure { group, definition, schema, rules, aggregations })
    }

    /// The revision that clients compare theirs with.
    pub fn revision(&self) -> i64 {
        self.definition.metadata.as_ref().map_or(0, |m| m.mod_revision)
    }
}

/// The rules that bindings attach to a subject; names of rules that do not exist are passed over.
pub fn bound_rules(space: &GroupSpace, catalog: Catalog, subject: &str) -> Vec<Arc<IndexRule>> {
    let mut rules: Vec<Arc<IndexRule>> = Vec::new();
    for binding in space.bindings_of(catalog, subject) {
        for name in &binding.rules {
            let Some(rule) = space.index_rules.get(name) else { continue };
            if !rules.iter().any(|known| Arc::ptr_eq(known, &rule)) {
                rules.push(rule);
            }
        }
    }
    rules
}
