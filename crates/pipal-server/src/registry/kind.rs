//! The kinds of schema objects, and what each of them tells the one registry that serves all.

use super::space::{GroupSpace, Reach, Table, subject_of};
use super::{rules, update_rules};
use crate::api::common::{Catalog, Group, Metadata};
use crate::api::database::{IndexRule, IndexRuleBinding, Measure, Property, Stream, TopNAggregation, Trace};
use crate::status::SchemaError;
use pipal_api::write::Model;
use prost_types::Timestamp;

/// Kind of a document of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A group.
    Group,
    /// A stream.
    Stream,
    /// A measure.
    Measure,
    /// A trace.
    Trace,
    /// The schema of a property.
    Property,
    /// An index rule.
    IndexRule,
    /// A binding of index rules to a stream, measure or trace.
    IndexRuleBinding,
    /// A Top-N aggregation.
    TopNAggregation,
    /// The task that deletes a group; not a schema object, but it shares their storage.
    DeletionTask,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 9] = [
        Kind::Group,
        Kind::Stream,
        Kind::Measure,
        Kind::Trace,
        Kind::Property,
        Kind::IndexRule,
        Kind::IndexRuleBinding,
        Kind::TopNAggregation,
        Kind::DeletionTask,
    ];

    /// The name of the kind in stored documents, in barrier keys and in the counts of a deletion task.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Group => "group",
            Kind::Stream => "stream",
            Kind::Measure => "measure",
            Kind::Trace => "trace",
            Kind::Property => "property",
            Kind::IndexRule => "index_rule",
            Kind::IndexRuleBinding => "index_rule_binding",
            Kind::TopNAggregation => "top_n_aggregation",
            Kind::DeletionTask => "deletion_task",
        }
    }

    /// The kind of this stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind of a barrier key, which may also be written in camel case; none for unknown kinds.
    pub fn from_barrier_name(name: &str) -> Option<Self> {
        match name {
            "indexRule" => Some(Kind::IndexRule),
            "indexRuleBinding" => Some(Kind::IndexRuleBinding),
            "topNAggregation" => Some(Kind::TopNAggregation),
            "deletion_task" => None,
            _ => Kind::from_name(name),
        }
    }
}

/// A protobuf message that the registry keeps. Messages are stored and returned verbatim but for the stamps.
pub trait SchemaObject: prost::Message + Default + Clone + PartialEq + Send + Sync + 'static {
    /// Its kind.
    const KIND: Kind;
    /// True when the group must exist for Create and Update.
    const NEEDS_GROUP: bool;
    /// True when a change must see all objects of its group at rest.
    const EXCLUSIVE: bool = false;
    /// True when the answers to Create and Update tell the revision.
    const TELLS_REVISION: bool = true;

    /// Name, group and revisions.
    fn metadata(&self) -> Option<&Metadata>;
    /// Name, group and revisions, for stamping.
    fn metadata_mut(&mut self) -> &mut Option<Metadata>;
    /// When the object was created.
    fn created_at(&self) -> Option<Timestamp>;
    /// Sets both times.
    fn set_times(&mut self, updated_at: Option<Timestamp>, created_at: Option<Timestamp>);
    /// The business rules (server surface 2.4); the text goes to the client.
    fn check(&self) -> Result<(), String>;
    /// The refused updates (2.5); the text goes to the client behind "validation failed: ".
    fn check_update(&self, _next: &Self) -> Result<(), String> {
        Ok(())
    }
    /// Whether the object may live in this group.
    fn check_group(&self, _space: &GroupSpace) -> Result<(), SchemaError> {
        Ok(())
    }
    /// Fills in what the server chooses on Create.
    fn complete_new(&mut self) {}
    /// Fills in what the server keeps on Update; `stored` is none when the object does not exist.
    fn complete_update(&mut self, _stored: Option<&Self>) -> Result<(), SchemaError> {
        Ok(())
    }
    /// Which compiled resources depend on it.
    fn reach(&self) -> Reach {
        Reach::Nothing
    }
    /// The table of the kind in a group.
    fn table(space: &GroupSpace) -> &Table<Self>;

    /// The name; empty when there is none.
    fn name(&self) -> &str {
        self.metadata().map_or("", |m| &m.name)
    }
    /// The group; empty when there is none.
    fn group(&self) -> &str {
        self.metadata().map_or("", |m| &m.group)
    }
    /// The revision; 0 before the first.
    fn revision(&self) -> i64 {
        self.metadata().map_or(0, |m| m.mod_revision)
    }
    /// The object without everything that does not count when two revisions are compared (2.2).
    fn content(&self) -> Self {
        let mut content = self.clone();
        content.set_times(None, None);
        if let Some(metadata) = content.metadata_mut() {
            (metadata.id, metadata.create_revision, metadata.mod_revision) = (0, 0, 0);
        }
        content
    }
}

macro_rules! schema_object {
    ($type:ty, $kind:ident, needs_group: $needs_group:expr, $($rest:tt)*) => {
        impl SchemaObject for $type {
            const KIND: Kind = Kind::$kind;
            const NEEDS_GROUP: bool = $needs_group;

            fn metadata(&self) -> Option<&Metadata> {
                self.metadata.as_ref()
            }
            fn metadata_mut(&mut self) -> &mut Option<Metadata> {
                &mut self.metadata
            }
            fn created_at(&self) -> Option<Timestamp> {
                self.created_at
            }
            fn set_times(&mut self, updated_at: Option<Timestamp>, created_at: Option<Timestamp>) {
                (self.updated_at, self.created_at) = (updated_at, created_at);
            }
            $($rest)*
        }
    };
}

schema_object! { Group, Group, needs_group: false,
    fn check(&self) -> Result<(), String> {
        rules::group(self)
    }
    fn table(space: &GroupSpace) -> &Table<Self> {
        &space.definition
    }
}

schema_object! { Stream, Stream, needs_group: true,
    fn check(&self) -> Result<(), String> {
        rules::stream(self)
    }
    fn check_update(&self, next: &Self) -> Result<(), String> {
        update_rules::stream(self, next)
    }
    fn check_group(&self, space: &GroupSpace) -> Result<(), SchemaError> {
        check_catalog(space, Catalog::Stream)
    }
    fn reach(&self) -> Reach {
        Reach::Resource(Model::Stream, self.name().into())
    }
    fn table(space: &GroupSpace) -> &Table<Self> {
        &space.streams
    }
}

schema_object! { Measure, Measure, needs_group: true,
    fn check(&self) -> Result<(), String> {
        rules::measure(self)
    }
    fn check_update(&self, next: &Self) -> Result<(), String> {
        update_rules::measure(self, next)
    }
    fn check_group(&self, space: &GroupSpace) -> Result<(), SchemaError> {
        check_catalog(space, Catalog::Measure)
    }
    fn reach(&self) -> Reach {
        Reach::Resource(Model::Measure, self.name().into())
    }
    fn table(space: &GroupSpace) -> &Table<Self> {
        &space.measures
    }
}

schema_object! { Trace, Trace, needs_group: true,
    const EXCLUSIVE: bool = true;

    fn check(&self) -> Result<(), String> {
        rules::trace(self)
    }
    fn check_update(&self, next: &Self) -> Result<(), String> {
        update_rules::trace(self, next)
    }
    fn check_group(&self, space: &GroupSpace) -> Result<(), SchemaError> {
        check_catalog(space, Catalog::Trace)?;
        let sampled = space.state().is_some_and(|group| rules::has_sampler(&group.definition));
        let another = space.traces.names().iter().any(|name| **name != *self.name());
        match sampled && another {
            true => Err(SchemaError::Precondition(rules::only_one_trace(self.group()))),
            false => Ok(()),
        }
    }
    fn reach(&self) -> Reach {
        Reach::Resource(Model::Trace, self.name().into())
    }
    fn table(space: &GroupSpace) -> &Table<Self> {
        &space.traces
    }
}

schema_object! { Property, Property, needs_group: true,
    const TELLS_REVISION: bool = false;

    fn check(&self) -> Result<(), String> {
        rules::identity(self.metadata.as_ref())
    }
    fn table(space: &GroupSpace) -> &Table<Self> {
        &space.properties
    }
}

schema_object! { IndexRule, IndexRule, needs_group: false,
    fn check(&self) -> Result<(), String> {
        rules::index_rule(self)
    }
    fn complete_new(&mut self) {
        if let Some(metadata) = self.metadata.as_mut().filter(|m| m.id == 0) {
            metadata.id = rules::index_rule_id(&metadata.group, &metadata.name);
        }
    }
    fn complete_update(&mut self, stored: Option<&Self>) -> Result<(), SchemaError> {
        let Some(metadata) = self.metadata.as_mut().filter(|m| m.id == 0) else { return Ok(()) };
        let stored = stored.and_then(|rule| rule.metadata.as_ref()).ok_or(SchemaError::NotFound)?;
        metadata.id = stored.id;
        Ok(())
    }
    fn reach(&self) -> Reach {
        Reach::Rule(self.name().into())
    }
    fn table(space: &GroupSpace) -> &Table<Self> {
        &space.index_rules
    }
}

schema_object! { IndexRuleBinding, IndexRuleBinding, needs_group: false,
    fn check(&self) -> Result<(), String> {
        rules::index_rule_binding(self)
    }
    fn reach(&self) -> Reach {
        subject_of(self).map_or(Reach::Nothing, |(model, name)| Reach::Resource(model, name))
    }
    fn table(space: &GroupSpace) -> &Table<Self> {
        &space.bindings
    }
}

schema_object! { TopNAggregation, TopNAggregation, needs_group: false,
    fn check(&self) -> Result<(), String> {
        rules::top_n_aggregation(self)
    }
    fn reach(&self) -> Reach {
        let source = self.source_measure.as_ref().filter(|source| source.group == self.group());
        source.map_or(Reach::Nothing, |source| Reach::Resource(Model::Measure, source.name.as_str().into()))
    }
    fn table(space: &GroupSpace) -> &Table<Self> {
        &space.aggregations
    }
}

/// Rows of one model in a group of another are found by no query, so such an object is refused at once.
fn check_catalog(space: &GroupSpace, catalog: Catalog) -> Result<(), SchemaError> {
    let Some(group) = space.state() else { return Err(SchemaError::NotFound) };
    if group.definition.catalog == catalog as i32 {
        return Ok(());
    }
    if group.definition.catalog == Catalog::Property as i32 {
        return Err(SchemaError::Refused("group segmentInterval is nil".to_owned()));
    }
    let text = format!("group {} is not of {}", space.name(), catalog.as_str_name());
    Err(SchemaError::Invalid(text))
}
