//! The compiled form of the definition of a measure, stream or trace with the index rules bound to it.
//!
//! It answers the questions of the write path (where does the value at this position go, what is the entity, what
//! is the shard) and of queries (which column, which rule) without searching text again and again. A compiled
//! schema is immutable and belongs to one revision.
//!
//! Places of values: a tag is named by its family and its position in it, a field by its position. Each place has a
//! [`Slot`]. Names may be ambiguous in a definition (the same tag name in two families, or twice in one); then the
//! first place is the one that names lead to, and a second column of equal family, name and type does not exist.

mod compile;

use hashbrown::HashMap;
pub use pipal_api::write::TRACE_FAMILY;
use pipal_model::{ColumnType, Layout};
use std::sync::Arc;

/// The field of a stream that holds the hash of the element id.
pub const ELEMENT_ID_FIELD: &str = "element_id";
/// The field of a trace that holds the payload of a span.
pub const SPAN_FIELD: &str = "span";

/// Where the value of a tag or field goes, and comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Into the entity, at this position of it.
    Entity(usize),
    /// Into this column of [`RowSchema::layout`].
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
    /// The rule that indexes the tag: an index into [`RowSchema::rules`].
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
    /// What it builds.
    pub kind: RuleKind,
}

/// Types of index rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// None given.
    Unspecified,
    /// Terms.
    Inverted,
    /// Filters that rule blocks out.
    Skipping,
    /// An order over several tags.
    Tree,
}

/// Position of a tag: family, and tag inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TagPlace {
    /// Index into [`RowSchema::families`].
    pub family: usize,
    /// Index into [`FamilyDef::tags`].
    pub tag: usize,
}

/// A measure, stream or trace of one group at one revision, with the rules bound to it. See the module.
#[derive(Clone, Debug)]
pub struct RowSchema {
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
    /// Fields in order: those of a measure, the element id of a stream ([`ELEMENT_ID_FIELD`]), the payload of a span
    /// ([`SPAN_FIELD`]).
    pub fields: Vec<FieldDef>,
    /// Rules bound to the resource.
    pub rules: Vec<RuleRef>,
    /// The tags with a meaning of their own; none but for a trace.
    pub trace_tags: Option<TraceTags>,
    layout: Arc<Layout>,
    tag_places: HashMap<Box<str>, TagPlace>,
    family_positions: HashMap<Box<str>, usize>,
    field_positions: HashMap<Box<str>, usize>,
}

/// The tags of a trace with a meaning of their own. Their names need not be declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceTags {
    /// Name of the tag that identifies the trace, which is its entity.
    pub trace_id: Box<str>,
    /// Name of the tag that identifies the span.
    pub span_id: Box<str>,
    /// Name of the tag with the time of the span.
    pub timestamp: Box<str>,
}

impl RowSchema {
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

#[cfg(test)]
mod tests;
