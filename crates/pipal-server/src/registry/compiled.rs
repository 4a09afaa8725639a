//! A measure, stream or trace with everything that writing and querying it need, resolved once per change of the
//! schema.

use super::space::{GroupSpace, GroupState};
use crate::api::common::Catalog;
use crate::api::database::{IndexRule, TopNAggregation};
use pipal_api::write::Model;
use pipal_model::Result;
use pipal_query::schema::RowSchema;
use std::sync::Arc;

/// One revision of a resource, its group and the index rules that are bound to it.
#[derive(Debug)]
pub struct CompiledResource {
    /// The group, as it was when this was compiled; it is compiled again when the group changes.
    pub group: Arc<GroupState>,
    /// The definition as writes and queries use it.
    pub schema: Arc<RowSchema>,
    /// The bound rules that exist, each once, in the order of binding names and then of their lists.
    pub rules: Vec<Arc<IndexRule>>,
    /// The time between rows of a series, as the definition of a measure has it; empty for other models.
    pub interval: String,
    /// The Top-N aggregations of the same group that rank it.
    pub aggregations: Vec<Arc<TopNAggregation>>,
}

impl CompiledResource {
    /// Resolves the rules. The times of a binding are not evaluated, expired ones act like others
    /// (server surface 3.1).
    ///
    /// None when there is no such resource.
    ///
    /// # Errors
    /// The definition cannot be compiled; none that passed its rules is like that.
    pub fn compile(
        space: &GroupSpace,
        group: Arc<GroupState>,
        model: Model,
        name: &str,
    ) -> Result<Option<Self>> {
        let rules = bound_rules(space, catalog_of(model), name);
        let by_value: Vec<IndexRule> = rules.iter().map(|rule| IndexRule::clone(rule)).collect();
        let schema = match model {
            Model::Measure => space.measures.get(name).map(|m| RowSchema::compile(&m, &by_value)),
            Model::Stream => space.streams.get(name).map(|s| RowSchema::compile_stream(&s, &by_value)),
            Model::Trace => space.traces.get(name).map(|t| RowSchema::compile_trace(&t, &by_value)),
        };
        let (interval, aggregations) = match model {
            Model::Measure => (
                space.measures.get(name).map_or_else(String::new, |measure| measure.interval.clone()),
                space.aggregations_of(name),
            ),
            Model::Stream | Model::Trace => Default::default(),
        };
        let compiled = |schema| {
            let schema = Arc::new(schema);
            CompiledResource { group, schema, rules, interval, aggregations }
        };
        Ok(schema.transpose()?.map(compiled))
    }

    /// The revision that clients compare theirs with.
    pub fn revision(&self) -> i64 {
        self.schema.mod_revision
    }
}

/// The catalog of a model.
pub fn catalog_of(model: Model) -> Catalog {
    match model {
        Model::Measure => Catalog::Measure,
        Model::Stream => Catalog::Stream,
        Model::Trace => Catalog::Trace,
    }
}

/// The model whose rows are in groups of a catalog; properties have none that is compiled.
pub fn model_of(catalog: i32) -> Option<Model> {
    match Catalog::try_from(catalog).ok()? {
        Catalog::Measure => Some(Model::Measure),
        Catalog::Stream => Some(Model::Stream),
        Catalog::Trace => Some(Model::Trace),
        Catalog::Property | Catalog::Unspecified => None,
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
