//! From definitions to compiled schemas.

use super::{
    ELEMENT_ID_FIELD, FamilyDef, FieldDef, RowSchema, RuleKind, RuleRef, SPAN_FIELD, Slot, TRACE_FAMILY,
    TagDef, TagPlace, TraceTags,
};
use hashbrown::HashMap;
use pipal_api::common::v1::Metadata;
use pipal_api::database::v1::{
    FieldType, IndexRule, Measure, Stream, TagFamilySpec, TagType, Trace, index_rule,
};
use pipal_model::{
    Analyzer, ColumnDef, ColumnKey, ColumnType, Error, Layout, OrderKey, Orders, Result, RowPolicy,
};
use prost_types::Timestamp;
use std::sync::Arc;

/// What the definitions of the models have in common.
struct Definition<'a> {
    metadata: Option<&'a Metadata>,
    created_at: Option<&'a Timestamp>,
    /// Name and tags, each with its name and the number of its type.
    families: Vec<(&'a str, Vec<(&'a str, i32)>)>,
    fields: Vec<(&'a str, Option<ColumnType>)>,
    entity: Vec<&'a str>,
    sharding: &'a [String],
    policy: RowPolicy,
    /// True when indexed tags are attributes of the series.
    has_attributes: bool,
    /// Whether a rule lets parts skip rows by a tag that it lists; the tag is told by its place in the rule.
    has_filter: fn(&RuleRef, usize) -> bool,
    trace_tags: Option<TraceTags>,
}

/// A row of a measure may replace another one, so that none can be skipped.
fn no_filter(_: &RuleRef, _: usize) -> bool {
    false
}

/// A rule of another type means nothing to streams.
fn has_stream_filter(rule: &RuleRef, _: usize) -> bool {
    matches!(rule.kind, RuleKind::Inverted | RuleKind::Skipping)
}

/// The last tag of a rule gives an order; it is compared, but not looked for, unless the type of the rule says so.
fn has_trace_filter(rule: &RuleRef, place: usize) -> bool {
    matches!(rule.kind, RuleKind::Inverted | RuleKind::Skipping) || place + 1 < rule.tags.len()
}

impl RowSchema {
    /// Compiles the definition of a measure. `rules` are the existing rules of all bindings of the measure, in the
    /// order in which they win: a tag belongs to the first rule that lists it. Errors: the definition has no metadata.
    pub fn compile(measure: &Measure, rules: &[IndexRule]) -> Result<Self> {
        let policy = if measure.index_mode { RowPolicy::Latest } else { RowPolicy::Versioned };
        let definition = Definition {
            metadata: measure.metadata.as_ref(),
            created_at: measure.created_at.as_ref(),
            families: families(&measure.tag_families),
            fields: measure.fields.iter().map(|f| (f.name.as_str(), field_type(f.field_type))).collect(),
            entity: names(measure.entity.as_ref().map_or(&[][..], |entity| &entity.tag_names)),
            sharding: measure.sharding_key.as_ref().map_or(&[][..], |key| &key.tag_names),
            policy,
            has_attributes: !measure.index_mode,
            has_filter: no_filter,
            trace_tags: None,
        };
        definition.compile(rules)
    }

    /// Compiles the definition of a stream; see [`RowSchema::compile`].
    pub fn compile_stream(stream: &Stream, rules: &[IndexRule]) -> Result<Self> {
        let definition = Definition {
            metadata: stream.metadata.as_ref(),
            created_at: stream.created_at.as_ref(),
            families: families(&stream.tag_families),
            fields: vec![(ELEMENT_ID_FIELD, Some(ColumnType::Int))],
            entity: names(stream.entity.as_ref().map_or(&[][..], |entity| &entity.tag_names)),
            sharding: &[],
            policy: RowPolicy::Collapse,
            has_attributes: false,
            has_filter: has_stream_filter,
            trace_tags: None,
        };
        definition.compile(rules)
    }

    /// Compiles the definition of a trace, whose entity is the trace id; see [`RowSchema::compile`].
    pub fn compile_trace(trace: &Trace, rules: &[IndexRule]) -> Result<Self> {
        let tags = trace.tags.iter().map(|tag| (tag.name.as_str(), tag.r#type)).collect();
        let definition = Definition {
            metadata: trace.metadata.as_ref(),
            created_at: trace.created_at.as_ref(),
            families: vec![(TRACE_FAMILY, tags)],
            fields: vec![(SPAN_FIELD, Some(ColumnType::Binary))],
            entity: vec![&trace.trace_id_tag_name],
            sharding: &[],
            policy: RowPolicy::Collapse,
            has_attributes: false,
            has_filter: has_trace_filter,
            trace_tags: Some(TraceTags {
                trace_id: trace.trace_id_tag_name.as_str().into(),
                span_id: trace.span_id_tag_name.as_str().into(),
                timestamp: trace.timestamp_tag_name.as_str().into(),
            }),
        };
        definition.compile(rules)
    }
}

impl Definition<'_> {
    fn compile(self, rules: &[IndexRule]) -> Result<RowSchema> {
        let metadata = self
            .metadata
            .ok_or_else(|| Error::invalid("compile schema", "the definition has no metadata"))?;
        let mut builder = Builder::new(&self);
        let rules = compile_rules(rules);
        for (family, tags) in &self.families {
            builder.add_family(family, tags, &rules);
        }
        let fields = self.fields.iter().map(|(name, ty)| builder.add_field(name, *ty)).collect::<Vec<_>>();
        let (entity, entity_places) = builder.entity();
        let sharding_places = builder.sharding(self.sharding, &entity_places);
        let orders = match &self.trace_tags {
            Some(tags) => builder.orders(&rules, &tags.timestamp),
            None => Orders::default(),
        };
        Ok(RowSchema {
            group: metadata.group.as_str().into(),
            name: metadata.name.as_str().into(),
            mod_revision: metadata.mod_revision,
            created_at: self.created_at.map_or(0, nanos),
            index_mode: self.policy == RowPolicy::Latest,
            series_may_spread: sharding_places.iter().any(|place| !entity_places.contains(place)),
            entity,
            entity_places,
            sharding_places,
            field_positions: first_positions(fields.iter().map(|f| &f.name)),
            family_positions: first_positions(builder.families.iter().map(|f| &f.name)),
            families: builder.families,
            fields,
            rules,
            trace_tags: self.trace_tags,
            layout: Arc::new(Layout::ordered(&metadata.name, self.policy, builder.columns, orders)),
            tag_places: builder.tag_places,
        })
    }
}

fn families(specs: &[TagFamilySpec]) -> Vec<(&str, Vec<(&str, i32)>)> {
    let mut families = Vec::with_capacity(specs.len());
    for family in specs {
        let tags = family.tags.iter().map(|tag| (tag.name.as_str(), tag.r#type)).collect();
        families.push((family.name.as_str(), tags));
    }
    families
}

fn names(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn compile_rules(rules: &[IndexRule]) -> Vec<RuleRef> {
    let compile = |rule: &IndexRule| RuleRef {
        name: rule.metadata.as_ref().map_or("", |m| m.name.as_str()).into(),
        tags: rule.tags.iter().map(|tag| tag.as_str().into()).collect(),
        analyzer: rule.analyzer.as_str().into(),
        no_sort: rule.no_sort,
        kind: rule_kind(rule.r#type),
    };
    rules.iter().map(compile).collect()
}

fn rule_kind(number: i32) -> RuleKind {
    match index_rule::Type::try_from(number) {
        Ok(index_rule::Type::Inverted) => RuleKind::Inverted,
        Ok(index_rule::Type::Skipping) => RuleKind::Skipping,
        Ok(index_rule::Type::Tree) => RuleKind::Tree,
        Ok(index_rule::Type::Unspecified) | Err(_) => RuleKind::Unspecified,
    }
}

fn nanos(time: &Timestamp) -> i64 {
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
    has_attributes: bool,
    has_filter: fn(&RuleRef, usize) -> bool,
    families: Vec<FamilyDef>,
    columns: Vec<ColumnDef>,
    tag_places: HashMap<Box<str>, TagPlace>,
    entity_kept: Vec<&'a str>,
}

impl<'a> Builder<'a> {
    fn new(definition: &Definition<'a>) -> Self {
        let defined =
            |name: &&str| definition.families.iter().any(|(_, tags)| tags.iter().any(|(tag, _)| tag == name));
        Builder {
            has_attributes: definition.has_attributes,
            has_filter: definition.has_filter,
            families: Vec::with_capacity(definition.families.len()),
            columns: Vec::new(),
            tag_places: HashMap::new(),
            entity_kept: definition.entity.iter().copied().filter(defined).collect(),
        }
    }

    fn add_family(&mut self, family: &str, specs: &[(&str, i32)], rules: &[RuleRef]) {
        let position = self.families.len();
        let mut tags = Vec::with_capacity(specs.len());
        for (i, (name, ty)) in specs.iter().enumerate() {
            let ty = tag_type(*ty);
            let rule = rules.iter().position(|rule| rule.tags.iter().any(|tag| **tag == **name));
            let first = !self.tag_places.contains_key(*name);
            self.tag_places.entry((*name).into()).or_insert(TagPlace { family: position, tag: i });
            let entity = self.entity_kept.iter().position(|kept| kept == name);
            let slot = match (entity, ty) {
                (Some(at), _) if first => Slot::Entity(at),
                (_, Some(ty)) => self.add_column(ColumnDef {
                    key: ColumnKey { family: family.into(), name: (*name).into(), ty },
                    attribute: rule.is_some() && self.has_attributes,
                    filter: self.filter_of(name, rules),
                }),
                (_, None) => Slot::Nowhere,
            };
            tags.push(TagDef { name: (*name).into(), ty, slot, rule });
        }
        self.families.push(FamilyDef { name: family.into(), tags });
    }

    fn add_field(&mut self, name: &str, ty: Option<ColumnType>) -> FieldDef {
        let key = |ty| ColumnKey { family: "".into(), name: name.into(), ty };
        let slot = ty.map_or(Slot::Nowhere, |ty| self.add_column(ColumnDef::plain(key(ty))));
        FieldDef { name: name.into(), ty, slot }
    }

    /// How parts make terms of a tag to skip rows by: by the analyzer of the first rule that lets them.
    fn filter_of(&self, tag: &str, rules: &[RuleRef]) -> Option<Analyzer> {
        let lets = |rule: &&RuleRef| {
            let place = rule.tags.iter().position(|listed| **listed == *tag);
            place.is_some_and(|place| (self.has_filter)(rule, place))
        };
        rules.iter().find(lets).map(|rule| Analyzer::by_name(&rule.analyzer))
    }

    fn add_column(&mut self, column: ColumnDef) -> Slot {
        let taken =
            |known: &ColumnDef| known.key.family == column.key.family && known.key.name == column.key.name;
        if self.columns.iter().any(taken) {
            return Slot::Nowhere;
        }
        self.columns.push(column);
        Slot::Column(self.columns.len() - 1)
    }

    /// The orders of a trace: one per rule that sorts, by its last tag. Conditions on the leading tags of the first
    /// rule select series, whichever rule gives the order (trace specification, 1.2).
    fn orders(&self, rules: &[RuleRef], timestamp: &str) -> Orders {
        let column = |tag: &str| {
            let place = self.tag_places.get(tag)?;
            match self.families.get(place.family)?.tags.get(place.tag)?.slot {
                Slot::Column(at) => Some(self.columns.get(at)?.key.clone()),
                Slot::Entity(_) | Slot::Nowhere => None,
            }
        };
        let key = |rule: &RuleRef| match rule.tags.last() {
            Some(tag) if **tag == *timestamp => Some(OrderKey::Time),
            Some(tag) => column(tag).map(OrderKey::Column),
            None => None,
        };
        let leading = rules.first().and_then(|rule| rule.tags.split_last()).map_or(&[][..], |(_, tags)| tags);
        Orders::new(
            leading.iter().filter_map(|tag| column(tag)).collect(),
            rules.iter().filter(|rule| !rule.no_sort).filter_map(key).collect(),
        )
    }

    fn entity(&self) -> (Vec<Box<str>>, Vec<TagPlace>) {
        self.entity_kept
            .iter()
            .filter_map(|name| Some((Box::from(*name), *self.tag_places.get(*name)?)))
            .unzip()
    }

    fn sharding(&self, names: &[String], entity: &[TagPlace]) -> Vec<TagPlace> {
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
