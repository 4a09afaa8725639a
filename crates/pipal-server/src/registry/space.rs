//! The schema objects of one group as readers see them.

use super::compiled::{CompiledResource, model_of};
use super::kind::{Kind, SchemaObject};
use super::storage::options_of;
use crate::api::common::{Catalog, Group};
use crate::api::database::{IndexRule, IndexRuleBinding, Measure, Property, Stream, TopNAggregation, Trace};
use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use pipal_api::write::Model;
use pipal_engine::{GroupId, GroupOptions};
use pipal_model::Reservation;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One group that exists: its incarnation and its definition. A change of either makes a new state.
#[derive(Debug)]
pub struct GroupState {
    /// Incarnation of the rows.
    pub id: GroupId,
    /// The stored message.
    pub definition: Arc<Group>,
    /// Shards, segments and time to live of the definition.
    pub options: GroupOptions,
    deleting: AtomicBool,
}

impl GroupState {
    /// The state of a group that passed its rules.
    pub fn new(id: GroupId, definition: Arc<Group>) -> Self {
        let options = options_of(&definition);
        GroupState { id, definition, options, deleting: AtomicBool::new(false) }
    }

    /// The same incarnation with another definition; a deletion that is on its way goes on.
    pub(super) fn with_definition(&self, definition: Group) -> Self {
        let next = GroupState::new(self.id, Arc::new(definition));
        if self.is_deleting() {
            next.mark_deleting();
        }
        next
    }

    /// Name of the group.
    pub fn name(&self) -> &str {
        self.definition.name()
    }

    /// The catalog as the number that the client gave, which need not be a defined one.
    pub fn catalog(&self) -> i32 {
        self.definition.catalog
    }

    /// True from the moment when a Delete of the group, or of its rows, was accepted: queries are refused
    /// with `FAILED_PRECONDITION` and writes fail one by one (server surface 2.7).
    pub fn is_deleting(&self) -> bool {
        self.deleting.load(Ordering::Acquire)
    }

    pub(super) fn mark_deleting(&self) {
        self.deleting.store(true, Ordering::Release);
    }
}

/// The live objects of one kind in one group, by name.
#[derive(Debug)]
pub struct Table<T>(RwLock<HashMap<Box<str>, Entry<T>>>);

#[derive(Debug)]
struct Entry<T> {
    object: Arc<T>,
    /// Given back when the object is replaced or taken away.
    _memory: Reservation,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table(RwLock::default())
    }
}

impl<T> Table<T> {
    /// The object of this name.
    pub fn get(&self, name: &str) -> Option<Arc<T>> {
        self.0.read().get(name).map(|entry| entry.object.clone())
    }

    /// All objects, sorted by name.
    pub fn all(&self) -> Vec<Arc<T>> {
        let mut all: Vec<_> =
            self.0.read().iter().map(|(name, entry)| (name.clone(), entry.object.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, object)| object).collect()
    }

    /// The objects that pass a filter, in any order.
    fn filtered(&self, passes: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let objects = self.0.read();
        objects.values().map(|entry| &entry.object).filter(|object| passes(object)).cloned().collect()
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<Box<str>> {
        let mut names: Vec<_> = self.0.read().keys().cloned().collect();
        names.sort();
        names
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    /// True without objects.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn insert(&self, name: &str, object: Arc<T>, memory: Reservation) -> Option<Arc<T>> {
        let entry = Entry { object, _memory: memory };
        self.0.write().insert(name.into(), entry).map(|old| old.object)
    }

    fn remove(&self, name: &str) -> Option<Arc<T>> {
        self.0.write().remove(name).map(|entry| entry.object)
    }

    fn clear(&self) -> usize {
        std::mem::take(&mut *self.0.write()).len()
    }
}

const MODELS: [Model; 3] = [Model::Measure, Model::Stream, Model::Trace];

/// Which compiled resources of the group a change reaches.
pub enum Reach {
    /// None.
    Nothing,
    /// The one of this model and name.
    Resource(Model, Box<str>),
    /// Every one bound to the rule of this name.
    Rule(Box<str>),
}

/// Everything that carries the name of one group; rules, bindings and aggregations may be there before the
/// group itself is.
#[derive(Debug, Default)]
pub struct GroupSpace {
    name: Box<str>,
    pub(super) definition: Table<Group>,
    pub(super) streams: Table<Stream>,
    pub(super) measures: Table<Measure>,
    pub(super) traces: Table<Trace>,
    pub(super) properties: Table<Property>,
    pub(super) index_rules: Table<IndexRule>,
    pub(super) bindings: Table<IndexRuleBinding>,
    pub(super) aggregations: Table<TopNAggregation>,
    state: RwLock<Option<Arc<GroupState>>>,
    compiled: Compiled,
    /// Held while a change is published, so that the last compilation of a resource saw all changes.
    publishing: Mutex<()>,
}

/// Compiled resources by name.
#[derive(Debug, Default)]
struct Compiled {
    measures: RwLock<HashMap<Box<str>, Arc<CompiledResource>>>,
    streams: RwLock<HashMap<Box<str>, Arc<CompiledResource>>>,
    traces: RwLock<HashMap<Box<str>, Arc<CompiledResource>>>,
}

impl Compiled {
    fn of(&self, model: Model) -> &RwLock<HashMap<Box<str>, Arc<CompiledResource>>> {
        match model {
            Model::Measure => &self.measures,
            Model::Stream => &self.streams,
            Model::Trace => &self.traces,
        }
    }
}

impl GroupSpace {
    /// A space without objects.
    pub fn new(name: &str) -> Self {
        GroupSpace { name: name.into(), ..GroupSpace::default() }
    }

    /// Name of the group.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The group, when it exists.
    pub fn state(&self) -> Option<Arc<GroupState>> {
        self.state.read().clone()
    }

    /// The compiled resource of this name.
    pub fn resource(&self, model: Model, name: &str) -> Option<Arc<CompiledResource>> {
        self.compiled.of(model).read().get(name).cloned()
    }

    /// The bindings of a subject, sorted by name.
    pub fn bindings_of(&self, catalog: Catalog, subject: &str) -> Vec<Arc<IndexRuleBinding>> {
        let names = |b: &IndexRuleBinding| {
            b.subject.as_ref().is_some_and(|s| s.catalog == catalog as i32 && s.name == subject)
        };
        let mut bindings = self.bindings.filtered(names);
        bindings.sort_by(|a, b| a.name().cmp(b.name()));
        bindings
    }

    /// The aggregations of the group over one of its measures, sorted by name.
    pub fn aggregations_of(&self, measure: &str) -> Vec<Arc<TopNAggregation>> {
        let ranks = |aggregation: &TopNAggregation| {
            let source = aggregation.source_measure.as_ref();
            source.is_some_and(|source| *source.group == *self.name && source.name == measure)
        };
        self.aggregations.all().into_iter().filter(|aggregation| ranks(aggregation)).collect()
    }

    /// Shows an object to readers; true when there was none of that name.
    pub(super) fn publish<T: SchemaObject>(&self, object: Arc<T>, memory: Reservation) -> bool {
        let _publishing = self.publishing.lock();
        let old = T::table(self).insert(object.name(), object.clone(), memory);
        if let Some(old) = &old {
            self.recompile(old.reach());
        }
        self.recompile(object.reach());
        old.is_none()
    }

    /// Takes an object away from readers; true when it was there.
    pub(super) fn withdraw<T: SchemaObject>(&self, name: &str) -> bool {
        let _publishing = self.publishing.lock();
        let Some(old) = T::table(self).remove(name) else { return false };
        self.recompile(old.reach());
        true
    }

    /// Shows a new state of the group; all resources see it with their next lookup.
    pub(super) fn publish_group(&self, state: Arc<GroupState>, memory: Reservation) {
        let _publishing = self.publishing.lock();
        self.definition.insert(&self.name, state.definition.clone(), memory);
        *self.state.write() = Some(state);
        for model in MODELS {
            for name in self.resource_names(model) {
                self.recompile(Reach::Resource(model, name));
            }
        }
    }

    /// Takes the group and all its objects away; the answer is how many there were.
    pub(super) fn withdraw_all(&self) -> usize {
        let _publishing = self.publishing.lock();
        *self.state.write() = None;
        for model in MODELS {
            self.compiled.of(model).write().clear();
        }
        self.definition.clear()
            + self.streams.clear()
            + self.measures.clear()
            + self.traces.clear()
            + self.properties.clear()
            + self.index_rules.clear()
            + self.bindings.clear()
            + self.aggregations.clear()
    }

    /// The names of the objects of a kind, sorted. Groups and deletion tasks are no members of a group.
    pub fn names(&self, kind: Kind) -> Vec<Box<str>> {
        match kind {
            Kind::Stream => self.streams.names(),
            Kind::Measure => self.measures.names(),
            Kind::Trace => self.traces.names(),
            Kind::Property => self.properties.names(),
            Kind::IndexRule => self.index_rules.names(),
            Kind::IndexRuleBinding => self.bindings.names(),
            Kind::TopNAggregation => self.aggregations.names(),
            Kind::Group | Kind::DeletionTask => Vec::new(),
        }
    }

    /// The revision of an object, none when it does not exist.
    pub fn revision(&self, kind: Kind, name: &str) -> Option<i64> {
        fn of<T: SchemaObject>(table: &Table<T>, name: &str) -> Option<i64> {
            table.get(name).map(|object| object.revision())
        }
        match kind {
            Kind::Group => of(&self.definition, name),
            Kind::Stream => of(&self.streams, name),
            Kind::Measure => of(&self.measures, name),
            Kind::Trace => of(&self.traces, name),
            Kind::Property => of(&self.properties, name),
            Kind::IndexRule => of(&self.index_rules, name),
            Kind::IndexRuleBinding => of(&self.bindings, name),
            Kind::TopNAggregation => of(&self.aggregations, name),
            Kind::DeletionTask => None,
        }
    }

    fn resource_names(&self, model: Model) -> Vec<Box<str>> {
        match model {
            Model::Measure => self.measures.names(),
            Model::Stream => self.streams.names(),
            Model::Trace => self.traces.names(),
        }
    }

    fn recompile(&self, reach: Reach) {
        let resources = match reach {
            Reach::Nothing => return,
            Reach::Resource(model, name) => HashSet::from([(model, name)]),
            Reach::Rule(rule) => self.bound_to(&rule),
        };
        for (model, name) in resources {
            let group = self.state.read().clone();
            let compiled = group.and_then(|group| self.compile(group, model, &name));
            match compiled {
                Some(compiled) => self.compiled.of(model).write().insert(name, Arc::new(compiled)),
                None => self.compiled.of(model).write().remove(&name),
            };
        }
    }

    fn compile(&self, group: Arc<GroupState>, model: Model, name: &str) -> Option<CompiledResource> {
        CompiledResource::compile(self, group, model, name).unwrap_or_else(|error| {
            tracing::error!(group = %self.name, resource = %name, %error, "schema not usable");
            None
        })
    }

    fn bound_to(&self, rule: &str) -> HashSet<(Model, Box<str>)> {
        let bound = self.bindings.filtered(|binding| binding.rules.iter().any(|name| name == rule));
        bound.iter().filter_map(|binding| subject_of(binding)).collect()
    }
}

/// The resource that a binding is about.
pub fn subject_of(binding: &IndexRuleBinding) -> Option<(Model, Box<str>)> {
    let subject = binding.subject.as_ref()?;
    Some((model_of(subject.catalog)?, subject.name.as_str().into()))
}
