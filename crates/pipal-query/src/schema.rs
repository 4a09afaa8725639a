//! The compiled form of a measure definition with the index rules bound to it.
//!
//! It answers the questions of the write path (where does the value at this position go, what is the entity, what
//! is the shard) and of queries (which column, which rule) without searching text again and again. A compiled
//! schema is immutable and belongs to one revision.
//!
//! Places of values: a tag is named by its family and its position in it, a field by its position. Each place has a
//! [`Slot`]. Names may be ambiguous in a definition (the same tag name in two families, or twice in one); then the
//! first place is the one that names lead to, and a second column of equal family, name and type does not exist.

use hashbrown::HashMap;
use pipal_api::database::v1::{FieldType, IndexRule, Measure, TagType};
use pipal_model::{ColumnDef, ColumnKey, ColumnType, Error, Layout, Result, RowPolicy};
use std::sync::Arc;

/// Where the value of a tag or field goes, and comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Into the entity, at this position of it.
    Entity(usize),
    /// Into this column of [`MeasureSchema::layout`].
    Column(usize),
    /// Nowhere: the type is unspecified, or an earlier place has the same column. It reads as null.
    Nowhere,
}

/// A tag of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagDef {
    /// Name.
    pub name: Box<str>,
    /// Declared type; none when it is unspecified.
    pub ty: Option<ColumnType>,
    /// Where values go.
    pub slot: Slot,
    /// The rule that indexes the tag: an index into [`MeasureSchema::rules`].
    pub rule: Option<usize>,
}

/// A tag family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyDef {
    /// Name.
    pub name: Box<str>,
    /// Tags in order.
    pub tags: Vec<TagDef>,
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDef {
    /// Name.
    pub name: Box<str>,
    /// Declared type: Int, Float, Str or Binary; none when it is unspecified.
    pub ty: Option<ColumnType>,
    /// Where values go; never the entity.
    pub slot: Slot,
}

/// What queries need of an index rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRef {
    /// Name.
    pub name: Box<str>,
    /// Tags that it lists, also those that the measure does not have.
    pub tags: Vec<Box<str>>,
    /// Analyzer; empty when values are indexed whole.
    pub analyzer: Box<str>,
    /// True when results cannot be ordered by it.
    pub no_sort: bool,
}

/// Position of a tag: family, and tag inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TagPlace {
    /// Index into [`MeasureSchema::families`].
    pub family: usize,
    /// Index into [`FamilyDef::tags`].
    pub tag: usize,
}

/// A measure of one group at one revision, with the rules bound to it. See the module.
#[derive(Clone, Debug)]
pub struct MeasureSchema {
    /// Group.
    pub group: Box<str>,
    /// Name; also the resource name in the engine.
    pub name: Box<str>,
    /// Revision of the definition.
    pub mod_revision: i64,
    /// Creation time in nanoseconds since the epoch; 0 when the definition does not say.
    pub created_at: i64,
    /// True when a series has one row per segment and no fields.
    pub index_mode: bool,
    /// Entity tags in order; names that no family defines are left out.
    pub entity: Vec<Box<str>>,
    /// Places of the entity tags, in the same order.
    pub entity_places: Vec<TagPlace>,
    /// Places of the tags that decide the shard; those of the entity when no sharding key is defined.
    pub sharding_places: Vec<TagPlace>,
    /// True when the sharding key holds a tag outside the entity, so that a series may lie in several shards.
    pub series_may_spread: bool,
    /// Tag families in order.
    pub families: Vec<FamilyDef>,
    /// Fields in order.
    pub fields: Vec<FieldDef>,
    /// Rules bound to the measure.
    pub rules: Vec<RuleRef>,
    layout: Arc<Layout>,
    tag_places: HashMap<Box<str>, TagPlace>,
    family_positions: HashMap<Box<str>, usize>,
    field_positions: HashMap<Box<str>, usize>,
}

impl MeasureSchema {
    /// Compiles a definition. `rules` are the existing rules of all bindings of the measure, in the order in which
    /// they win: a tag belongs to the first rule that lists it. Errors: the definition has no metadata.
    pub fn compile(measure: &Measure, rules: &[IndexRule]) -> Result<Self> {
        let metadata = measure
            .metadata
            .as_ref()
            .ok_or_else(|| Error::invalid("compile measure", "the definition has no metadata"))?;
        let mut builder = Builder::new(measure);
        let rules = compile_rules(rules);
        for family in &measure.tag_families {
            builder.add_family(family, &rules);
        }
        let fields = measure.fields.iter().map(|f| builder.add_field(f)).collect::<Vec<_>>();
        let (entity, entity_places) = builder.entity();
        let sharding_places = builder.sharding(measure, &entity_places);
        let policy = if measure.index_mode { RowPolicy::Latest } else { RowPolicy::Versioned };
        Ok(MeasureSchema {
            group: metadata.group.as_str().into(),
            name: metadata.name.as_str().into(),
            mod_revision: metadata.mod_revision,
            created_at: measure.created_at.as_ref().map_or(0, nanos),
            index_mode: measure.index_mode,
            series_may_spread: sharding_places.iter().any(|place| !entity_places.contains(place)),
            entity,
            entity_places,
            sharding_places,
            field_positions: first_positions(fields.iter().map(|f| &f.name)),
            family_positions: first_positions(builder.families.iter().map(|f| &f.name)),
            families: builder.families,
            fields,
            rules,
            layout: Arc::new(Layout::new(&metadata.name, policy, builder.columns)),
            tag_places: builder.tag_places,
        })
    }

    /// The shape of stored rows: columns of the non-entity tags in order of the families, then of the fields (with
    /// the empty family). Indexed tags of a normal measure are series attributes.
    ///
    /// A writer gives every column a value: null for what a request does not carry, since an absent value stands for
    /// a column that the schema did not have at the time.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The tag at a place.
    pub fn tag(&self, place: TagPlace) -> Option<&TagDef> {
        self.families.get(place.family)?.tags.get(place.tag)
    }

    /// The first tag of this name, whatever its family.
    pub fn find_tag(&self, name: &str) -> Option<TagPlace> {
        self.tag_places.get(name).copied()
    }

    /// The tag of this name in this family.
    pub fn find_tag_in(&self, family: &str, name: &str) -> Option<TagPlace> {
        let family = self.find_family(family)?;
        let tag = self.families.get(family)?.tags.iter().position(|t| &*t.name == name)?;
        Some(TagPlace { family, tag })
    }

    /// Position of the first family of this name.
    pub fn find_family(&self, name: &str) -> Option<usize> {
        self.family_positions.get(name).copied()
    }

    /// Position of the first field of this name.
    pub fn find_field(&self, name: &str) -> Option<usize> {
        self.field_positions.get(name).copied()
    }

    /// Position of a tag in the entity.
    pub fn entity_position(&self, name: &str) -> Option<usize> {
        self.entity.iter().position(|tag| &**tag == name)
    }

    /// The rule of this name among those bound to the measure.
    pub fn find_rule(&self, name: &str) -> Option<&RuleRef> {
        self.rules.iter().find(|rule| &*rule.name == name)
    }
}

fn compile_rules(rules: &[IndexRule]) -> Vec<RuleRef> {
    let compile = |rule: &IndexRule| RuleRef {
        name: rule.metadata.as_ref().map_or("", |m| m.name.as_str()).into(),
        tags: rule.tags.iter().map(|tag| tag.as_str().into()).collect(),
        analyzer: rule.analyzer.as_str().into(),
        no_sort: rule.no_sort,
    };
    rules.iter().map(compile).collect()
}

fn nanos(time: &prost_types::Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos))
}

fn first_positions<'a>(names: impl Iterator<Item = &'a Box<str>>) -> HashMap<Box<str>, usize> {
    let mut positions = HashMap::new();
    for (i, name) in names.enumerate() {
        positions.entry(name.clone()).or_insert(i);
    }
    positions
}

/// Collects places and columns while the definition is walked.
struct Builder<'a> {
    index_mode: bool,
    families: Vec<FamilyDef>,
    columns: Vec<ColumnDef>,
    tag_places: HashMap<Box<str>, TagPlace>,
    entity_kept: Vec<&'a str>,
}

impl<'a> Builder<'a> {
    fn new(measure: &'a Measure) -> Self {
        let entity_names = measure.entity.as_ref().map_or(&[][..], |entity| &entity.tag_names);
        let defined = |name: &&String| {
            measure.tag_families.iter().any(|family| family.tags.iter().any(|tag| tag.name == **name))
        };
        Builder {
            index_mode: measure.index_mode,
            families: Vec::with_capacity(measure.tag_families.len()),
            columns: Vec::new(),
            tag_places: HashMap::new(),
            entity_kept: entity_names.iter().filter(defined).map(String::as_str).collect(),
        }
    }

    fn add_family(&mut self, family: &pipal_api::database::v1::TagFamilySpec, rules: &[RuleRef]) {
        let position = self.families.len();
        let mut tags = Vec::with_capacity(family.tags.len());
        for (i, tag) in family.tags.iter().enumerate() {
            let ty = tag_type(tag.r#type);
            let rule = rules.iter().position(|rule| rule.tags.iter().any(|name| **name == *tag.name));
            let first = !self.tag_places.contains_key(tag.name.as_str());
            self.tag_places.entry(tag.name.as_str().into()).or_insert(TagPlace { family: position, tag: i });
            let entity = self.entity_kept.iter().position(|name| *name == tag.name);
            let slot = match (entity, ty) {
                (Some(at), _) if first => Slot::Entity(at),
                (_, Some(ty)) => {
                    self.add_column(&family.name, &tag.name, ty, rule.is_some() && !self.index_mode)
                }
                (_, None) => Slot::Nowhere,
            };
            tags.push(TagDef { name: tag.name.as_str().into(), ty, slot, rule });
        }
        self.families.push(FamilyDef { name: family.name.as_str().into(), tags });
    }

    fn add_field(&mut self, field: &pipal_api::database::v1::FieldSpec) -> FieldDef {
        let ty = field_type(field.field_type);
        let slot = ty.map_or(Slot::Nowhere, |ty| self.add_column("", &field.name, ty, false));
        FieldDef { name: field.name.as_str().into(), ty, slot }
    }

    fn add_column(&mut self, family: &str, name: &str, ty: ColumnType, attribute: bool) -> Slot {
        let taken = |column: &ColumnDef| *column.key.family == *family && *column.key.name == *name;
        if self.columns.iter().any(taken) {
            return Slot::Nowhere;
        }
        self.columns
            .push(ColumnDef { key: ColumnKey { family: family.into(), name: name.into(), ty }, attribute });
        Slot::Column(self.columns.len() - 1)
    }

    fn entity(&self) -> (Vec<Box<str>>, Vec<TagPlace>) {
        self.entity_kept
            .iter()
            .filter_map(|name| Some((Box::from(*name), *self.tag_places.get(*name)?)))
            .unzip()
    }

    fn sharding(&self, measure: &Measure, entity: &[TagPlace]) -> Vec<TagPlace> {
        let names = measure.sharding_key.as_ref().map_or(&[][..], |key| &key.tag_names);
        if names.is_empty() {
            return entity.to_vec();
        }
        names.iter().filter_map(|name| self.tag_places.get(name.as_str()).copied()).collect()
    }
}

fn tag_type(number: i32) -> Option<ColumnType> {
    Some(match TagType::try_from(number).ok()? {
        TagType::Unspecified => return None,
        TagType::String => ColumnType::Str,
        TagType::Int => ColumnType::Int,
        TagType::StringArray => ColumnType::StrArray,
        TagType::IntArray => ColumnType::IntArray,
        TagType::DataBinary => ColumnType::Binary,
        TagType::Timestamp => ColumnType::Timestamp,
    })
}

fn field_type(number: i32) -> Option<ColumnType> {
    Some(match FieldType::try_from(number).ok()? {
        FieldType::Unspecified => return None,
        FieldType::String => ColumnType::Str,
        FieldType::Int => ColumnType::Int,
        FieldType::DataBinary => ColumnType::Binary,
        FieldType::Float => ColumnType::Float,
    })
}

#[cfg(test)]
mod tests;
