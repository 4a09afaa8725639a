//! What an aggregation and its source measure say, compiled: where the values of a row are, and what becomes of it.

use super::criteria::Criteria;
use super::interval;
use crate::api::database::{FieldType, TopNAggregation};
use crate::registry::{CompiledResource, SchemaObject};
use pipal_engine::GroupId;
use pipal_model::series::{EntityValue, decode_entity};
use pipal_model::{ColumnKey, ColumnType, ValueRef};
use pipal_query::schema::{RowSchema, Slot, TagPlace};
use pipal_query::top_n::{Direction, Number, direction_of, push_group_value};

/// Windows that an aggregation keeps open when its definition does not say.
const WINDOWS_DEFAULT: usize = 2;
/// Most windows that an aggregation keeps open, whatever its definition says.
pub const WINDOWS_MAX: usize = 1_024;

/// One revision of an aggregation over one revision of its source.
#[derive(Debug)]
pub struct Definition {
    /// Revisions of the aggregation and of the source measure.
    pub revisions: (i64, i64),
    /// Incarnation of the group.
    pub group: GroupId,
    /// Name of the aggregation.
    pub name: Box<str>,
    /// Name of the source measure.
    pub source: Box<str>,
    /// Length of a window in nanoseconds.
    pub interval: i64,
    /// Windows kept open for late rows.
    pub windows: usize,
    /// Entries of a published ranking.
    pub counters: usize,
    /// Rankings to publish.
    pub directions: Vec<Direction>,
    /// The tag `parameters` of published rows.
    pub parameters: String,
    /// Columns to read of stored rows.
    pub columns: Vec<ColumnKey>,
    /// Positions of these columns in the layout of the source.
    pub layout_positions: Vec<usize>,
    tags: Vec<Tag>,
    /// Per group-by tag its number among `tags`; none when the source has no such tag any more.
    group_by: Vec<Option<usize>>,
    criteria: Option<Criteria>,
    /// True when no row can be ranked.
    excludes_all: bool,
    is_float: bool,
}

/// A tag that criteria or groups look at.
#[derive(Debug)]
struct Tag {
    place: TagPlace,
    /// Position in the entity, or in `columns`.
    source: TagSource,
    in_criteria: bool,
}

#[derive(Clone, Copy, Debug)]
enum TagSource {
    Entity(usize),
    Column(usize, ColumnType),
    Nowhere,
}

impl Definition {
    /// None when nothing can be ranked: the source has no interval, no such field or none of the group-by tags
    /// (measure specification 4.1).
    pub fn compile(aggregation: &TopNAggregation, measure: &CompiledResource) -> Option<Self> {
        let schema = &measure.schema;
        let interval = interval::nanos_of(&measure.interval)?;
        let field = schema.fields.get(schema.find_field(&aggregation.field_name)?)?;
        let Slot::Column(column) = field.slot else { return None };
        let is_float = match field.ty {
            Some(ColumnType::Int) => false,
            Some(ColumnType::Float) => true,
            _ => return None,
        };
        let mut builder = Builder { schema, columns: Vec::new(), positions: Vec::new(), tags: Vec::new() };
        // The field is the first column.
        builder.column(column);
        let group_by: Vec<Option<usize>> =
            aggregation.group_by_tag_names.iter().map(|name| builder.tag(name, false)).collect();
        if !group_by.is_empty() && group_by.iter().all(Option::is_none) {
            return None;
        }
        let compiled = aggregation
            .criteria
            .as_ref()
            .map_or(Ok(None), |message| Criteria::compile(message, &mut |name| builder.comparable(name)));
        let windows = usize::try_from(aggregation.lru_size).unwrap_or(0);
        Some(Definition {
            revisions: (aggregation.revision(), measure.revision()),
            group: measure.group.id,
            name: aggregation.name().into(),
            source: schema.name.clone(),
            interval,
            windows: if windows == 0 { WINDOWS_DEFAULT } else { windows.min(WINDOWS_MAX) },
            counters: usize::try_from(aggregation.counters_number).unwrap_or(0),
            directions: direction_of(aggregation.field_value_sort)
                .map_or(vec![Direction::Desc, Direction::Asc], |only| vec![only]),
            parameters: format!(
                "{{\"limit\":{},\"field_type\":{}}}",
                aggregation.counters_number,
                if is_float { FieldType::Float } else { FieldType::Int } as i32
            ),
            columns: builder.columns,
            layout_positions: builder.positions,
            tags: builder.tags,
            group_by,
            excludes_all: compiled.is_err(),
            criteria: compiled.ok().flatten(),
            is_float,
        })
    }

    /// A definition that tells how to cut rankings, and nothing else.
    #[cfg(test)]
    pub fn for_rankings(counters: usize, directions: Vec<Direction>) -> Self {
        Definition {
            revisions: (1, 1),
            group: 1,
            name: "".into(),
            source: "".into(),
            interval: 1,
            windows: 2,
            counters,
            directions,
            parameters: String::new(),
            columns: Vec::new(),
            layout_positions: Vec::new(),
            tags: Vec::new(),
            group_by: Vec::new(),
            criteria: None,
            excludes_all: false,
            is_float: false,
        }
    }

    /// Start of the window of a time.
    pub fn window_of(&self, time: i64) -> i64 {
        time.saturating_sub(time.rem_euclid(self.interval))
    }

    /// Places of the tags that a row must have sent to be ranked.
    pub fn required(&self) -> impl Iterator<Item = TagPlace> + '_ {
        self.tags.iter().filter(|tag| tag.in_criteria).map(|tag| tag.place)
    }

    /// The value by which a row is ranked, and its ranking group in `group`; none when it is not ranked.
    /// `values` gives the values of `columns`.
    pub fn rank<'v>(
        &self,
        entity: &[u8],
        values: impl Fn(usize) -> ValueRef<'v>,
        group: &mut Vec<u8>,
    ) -> Option<Number> {
        group.clear();
        if self.excludes_all {
            return None;
        }
        let in_entity = self.tags.iter().any(|tag| matches!(tag.source, TagSource::Entity(_)));
        let entity = if in_entity { decode_entity(entity)? } else { Vec::new() };
        let value = |tag: usize| match self.tags.get(tag).map(|tag| tag.source) {
            Some(TagSource::Entity(position)) => entity.get(position).map_or(ValueRef::Null, borrowed),
            // What the column does not keep does not count, so that stored rows tell the same.
            Some(TagSource::Column(column, ty)) => {
                Some(values(column)).filter(|value| value.column_type() == Some(ty)).unwrap_or(ValueRef::Null)
            }
            Some(TagSource::Nowhere) | None => ValueRef::Null,
        };
        if let Some(criteria) = &self.criteria
            && criteria.accepts(&mut |tag| Some(value(tag))) != Some(true)
        {
            return None;
        }
        for (i, tag) in self.group_by.iter().enumerate() {
            push_group_value(i == 0, tag.map_or(ValueRef::Null, value), group);
        }
        Some(self.number(values(0)))
    }

    /// A null or missing field counts as 0.
    fn number(&self, value: ValueRef<'_>) -> Number {
        match (self.is_float, value) {
            (false, ValueRef::Int(value)) => Number::Int(value),
            (false, _) => Number::Int(0),
            (true, ValueRef::Float(value)) => Number::Float(value),
            (true, _) => Number::Float(0.0),
        }
    }
}

fn borrowed(value: &EntityValue) -> ValueRef<'_> {
    match value {
        EntityValue::Null => ValueRef::Null,
        EntityValue::Str(text) => ValueRef::Str(text),
        EntityValue::Int(number) => ValueRef::Int(*number),
        EntityValue::Binary(bytes) => ValueRef::Binary(bytes),
        EntityValue::Timestamp(time) => ValueRef::Timestamp(*time),
    }
}

/// Numbers tags and columns.
struct Builder<'a> {
    schema: &'a RowSchema,
    columns: Vec<ColumnKey>,
    positions: Vec<usize>,
    tags: Vec<Tag>,
}

impl Builder<'_> {
    fn column(&mut self, position: usize) -> Option<usize> {
        if let Some(known) = self.positions.iter().position(|known| *known == position) {
            return Some(known);
        }
        self.columns.push(self.schema.layout().columns().get(position)?.key.clone());
        self.positions.push(position);
        Some(self.positions.len() - 1)
    }

    fn tag(&mut self, name: &str, in_criteria: bool) -> Option<usize> {
        let place = self.schema.find_tag(name)?;
        let tag = self.schema.tag(place)?;
        if let Some(known) = self.tags.iter().position(|known| known.place == place) {
            self.tags.get_mut(known)?.in_criteria |= in_criteria;
            return Some(known);
        }
        let source = match (tag.slot, tag.ty) {
            (Slot::Entity(position), _) => TagSource::Entity(position),
            (Slot::Column(position), Some(ty)) => TagSource::Column(self.column(position)?, ty),
            (Slot::Column(_), None) | (Slot::Nowhere, _) => TagSource::Nowhere,
        };
        self.tags.push(Tag { place, source, in_criteria });
        Some(self.tags.len() - 1)
    }

    /// A tag that conditions can be about: bytes and times cannot be compared.
    fn comparable(&mut self, name: &str) -> Option<usize> {
        let ty = self.schema.tag(self.schema.find_tag(name)?)?.ty?;
        match ty {
            ColumnType::Binary | ColumnType::Timestamp | ColumnType::Float => None,
            ColumnType::Str | ColumnType::Int | ColumnType::StrArray | ColumnType::IntArray => {
                self.tag(name, true)
            }
        }
    }
}
