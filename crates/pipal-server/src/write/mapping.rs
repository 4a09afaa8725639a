//! Where each value of a message goes, worked out once per resource, revision and spec of a stream.

use pipal_model::RowPolicy;
use pipal_query::schema::{RowSchema, Slot, TagPlace};

/// What a message carries, by name (measure specification 2.3): the families with their tags, and the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// Family name and tag names, in the order of the message.
    pub families: Vec<(String, Vec<String>)>,
    /// Field names, in the order of the message.
    pub fields: Vec<String>,
}

/// Targets of one tag of a message. A tag without targets is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagTargets {
    /// Position among the columns of the row.
    pub column: Option<usize>,
    /// Position among the keys, from which entity and shard are made.
    pub key: Option<usize>,
}

/// Where the values of a message go. Positions of families, tags and fields are those of the message.
#[derive(Debug)]
pub struct Mapping {
    families: Box<[Box<[TagTargets]>]>,
    fields: Box<[Option<usize>]>,
    /// Per key, whether the message names it. A named one must be there, another one is null.
    keys_named: Box<[bool]>,
    entity: Box<[usize]>,
    sharding: Box<[usize]>,
    columns: usize,
    by_name: bool,
    keeps_empty_arrays: bool,
}

impl Mapping {
    /// Maps what `spec` names, or everything by position when there is none, to the columns of the schema.
    pub fn compile(schema: &RowSchema, spec: Option<&Spec>) -> Self {
        let keys = Keys::of(schema);
        let families: Box<[Box<[TagTargets]>]> = match spec {
            Some(spec) => spec.families.iter().map(|family| keys.named_family(schema, family)).collect(),
            None => (0..schema.families.len()).map(|family| keys.positional_family(schema, family)).collect(),
        };
        let fields = match spec {
            Some(spec) => {
                spec.fields.iter().map(|name| field_column(schema, schema.find_field(name))).collect()
            }
            None => (0..schema.fields.len()).map(|field| field_column(schema, Some(field))).collect(),
        };
        let named = |key| families.iter().flatten().any(|targets| targets.key == Some(key));
        Mapping {
            keys_named: (0..keys.places.len()).map(named).collect(),
            families,
            fields,
            entity: keys.entity,
            sharding: keys.sharding,
            columns: schema.layout().columns().len(),
            by_name: spec.is_some(),
            keeps_empty_arrays: schema.layout().policy() == RowPolicy::Collapse,
        }
    }

    /// Targets of the tags of a family of the message.
    pub fn family(&self, position: usize) -> &[TagTargets] {
        self.families.get(position).map_or(&[], |family| family)
    }

    /// Column of a field of the message.
    pub fn field(&self, position: usize) -> Option<usize> {
        self.fields.get(position).copied().flatten()
    }

    /// Per key, whether the message must have it. Keys that it need not have are null.
    pub fn keys_named(&self) -> &[bool] {
        &self.keys_named
    }

    /// The keys of the entity, in entity order.
    pub fn entity(&self) -> &[usize] {
        &self.entity
    }

    /// The keys that decide about the shard.
    pub fn sharding(&self) -> &[usize] {
        &self.sharding
    }

    /// Number of columns of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// True when an empty array reads back as one; with measures it reads back as null (specification 1.6).
    pub fn keeps_empty_arrays(&self) -> bool {
        self.keeps_empty_arrays
    }

    /// True when a message with this many families does not fit the schema at all (specification 2.6).
    pub fn has_surplus_families(&self, families: usize) -> bool {
        !self.by_name && families > self.families.len()
    }
}

/// The tags that make entity and shard, each once.
struct Keys {
    places: Vec<TagPlace>,
    entity: Box<[usize]>,
    sharding: Box<[usize]>,
}

impl Keys {
    fn of(schema: &RowSchema) -> Self {
        let mut places: Vec<TagPlace> = Vec::new();
        let mut number = |place: &TagPlace| {
            places.iter().position(|known| known == place).unwrap_or_else(|| {
                places.push(*place);
                places.len() - 1
            })
        };
        let entity = schema.entity_places.iter().map(&mut number).collect();
        let sharding = schema.sharding_places.iter().map(&mut number).collect();
        Keys { places, entity, sharding }
    }

    fn positional_family(&self, schema: &RowSchema, family: usize) -> Box<[TagTargets]> {
        let tags = schema.families.get(family).map_or(0, |family| family.tags.len());
        (0..tags).map(|tag| self.targets(schema, TagPlace { family, tag })).collect()
    }

    fn named_family(&self, schema: &RowSchema, (family, tags): &(String, Vec<String>)) -> Box<[TagTargets]> {
        let place = |tag: &String| schema.find_tag_in(family, tag);
        tags.iter().map(|tag| place(tag).map_or(TagTargets::default(), |p| self.targets(schema, p))).collect()
    }

    fn targets(&self, schema: &RowSchema, place: TagPlace) -> TagTargets {
        let column = match schema.tag(place).map(|tag| tag.slot) {
            Some(Slot::Column(column)) => Some(column),
            Some(Slot::Entity(_) | Slot::Nowhere) | None => None,
        };
        TagTargets { column, key: self.places.iter().position(|known| *known == place) }
    }
}

fn field_column(schema: &RowSchema, field: Option<usize>) -> Option<usize> {
    match schema.fields.get(field?)?.slot {
        Slot::Column(column) => Some(column),
        Slot::Entity(_) | Slot::Nowhere => None,
    }
}

#[cfg(test)]
mod tests;
