//! Definitions of groups and resources.
//!
//! ```text
//! measure g/m
//!   tags d: host str, zone str      families by name; without a name it is family `d`
//!   tags e: note str
//!   entity host
//!   fields ms int, load float
//!   sharding zone
//!   index mode
//!   rule zone inverted zone         name, kind, tags. Kinds: inverted, skipping, tree, unsorted (inverted, cannot
//!   rule msg inverted/url text      order); an analyzer after a slash
//! trace g/t
//!   tags trace_id str, service str, ms int, span_id str, at time
//!   ids trace_id span_id at
//! topn g/hot
//!   of m ms desc                    measure, field, and `desc`, `asc` or `both`
//!   by zone
//!   counters 10
//!   windows 5
//!   where zone != 'x'
//! ```
//! Types: str, int, strs, ints, bin, time; of fields also float.

use super::Block;
use super::criteria::criteria;
use super::tokens::Tokens;
use crate::values::{Type, timestamp};
use pipal_api::common::v1::{Catalog, Group, IntervalRule, Metadata, ResourceOpts, interval_rule::Unit};
use pipal_api::database::v1::{
    CompressionMethod, EncodingMethod, Entity, FieldSpec, FieldType, IndexRule, IndexRuleBinding, Measure,
    Property, ShardingKey, Stream, Subject, TagFamilySpec, TagSpec, TagType, TopNAggregation, Trace,
    TraceTagSpec, index_rule,
};
use pipal_api::model::v1::{Criteria, Sort};

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Measure,
    Stream,
    Trace,
    Property,
    TopN,
}

/// The definition of a resource, with its rules.
#[derive(Clone, Debug, Default)]
pub struct Resource {
    pub kind: Kind,
    pub group: String,
    pub name: String,
    /// Families with tags; one without a name for traces and properties.
    pub families: Vec<(String, Vec<(String, Type)>)>,
    pub fields: Vec<(String, Type)>,
    pub rules: Vec<IndexRule>,
    entity: Vec<String>,
    sharding: Vec<String>,
    index_mode: bool,
    /// Names of the tags of trace id, span id and time.
    ids: Vec<String>,
    ranking: Ranking,
}

/// What a Top-N aggregation has of its own.
#[derive(Clone, Debug, Default)]
struct Ranking {
    of: Vec<String>,
    by: Vec<String>,
    counters: i32,
    windows: i32,
    criteria: Option<Criteria>,
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn typed(text: &str) -> Vec<(String, Type)> {
    let pair = |text: &str| {
        let (name, ty) = text.trim().split_once(' ').unwrap_or_else(|| panic!("no type: {text:?}"));
        (name.to_owned(), Type::by_name(ty.trim()))
    };
    text.split(',').map(pair).collect()
}

impl Resource {
    pub fn of(kind: Kind, place: &str, block: &Block) -> Resource {
        let (group, name) = place.split_once('/').expect("group/name");
        let flat = matches!(kind, Kind::Trace | Kind::Property);
        let mut resource = Resource { kind, group: group.into(), name: name.into(), ..Resource::default() };
        resource.ranking.counters = 1_000;
        for (_, line) in &block.body {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            match what {
                "tags" => {
                    let default = if flat { "" } else { "d" };
                    let (family, tags) = rest.split_once(':').unwrap_or((default, rest));
                    resource.families.push((family.into(), typed(tags)));
                }
                "entity" => resource.entity = words(rest),
                "fields" => resource.fields = typed(rest),
                "sharding" => resource.sharding = words(rest),
                "index" => resource.index_mode = true,
                "ids" => resource.ids = words(rest),
                "rule" => resource.rules.push(rule(group, &words(rest))),
                "of" => resource.ranking.of = words(rest),
                "by" => resource.ranking.by = words(rest),
                "counters" => resource.ranking.counters = rest.parse().unwrap(),
                "windows" => resource.ranking.windows = rest.parse().unwrap(),
                "where" => resource.ranking.criteria = criteria(&mut Tokens::of(rest)),
                _ => panic!("line {}: {line:?} defines nothing", block.line),
            }
        }
        resource
    }

    pub fn metadata(&self) -> Option<Metadata> {
        metadata(&self.group, &self.name)
    }

    /// The family of a tag, and its type.
    pub fn tag(&self, name: &str) -> Option<(&str, Type)> {
        let tags = self.families.iter().flat_map(|(family, tags)| tags.iter().map(move |tag| (family, tag)));
        tags.filter(|(_, (tag, _))| tag == name).map(|(family, (_, ty))| (family.as_str(), *ty)).next()
    }

    pub fn field(&self, name: &str) -> Option<Type> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, ty)| *ty)
    }

    fn tag_families(&self) -> Vec<TagFamilySpec> {
        let tag = |(name, ty): &(String, Type)| TagSpec { name: name.clone(), r#type: tag_type(*ty) };
        let family = |(name, tags): &(String, Vec<(String, Type)>)| TagFamilySpec {
            name: name.clone(),
            tags: tags.iter().map(tag).collect(),
        };
        self.families.iter().map(family).collect()
    }

    pub fn measure(&self) -> Measure {
        let field = |(name, ty): &(String, Type)| FieldSpec {
            name: name.clone(),
            field_type: field_type(*ty) as i32,
            encoding_method: EncodingMethod::Gorilla as i32,
            compression_method: CompressionMethod::Zstd as i32,
        };
        let sharding = Some(&self.sharding).filter(|tags| !tags.is_empty());
        Measure {
            metadata: self.metadata(),
            tag_families: self.tag_families(),
            fields: self.fields.iter().map(field).collect(),
            entity: Some(Entity { tag_names: self.entity.clone() }),
            interval: "1m".into(),
            index_mode: self.index_mode,
            sharding_key: sharding.map(|tags| ShardingKey { tag_names: tags.clone() }),
            ..Measure::default()
        }
    }

    pub fn stream(&self) -> Stream {
        Stream {
            metadata: self.metadata(),
            tag_families: self.tag_families(),
            entity: Some(Entity { tag_names: self.entity.clone() }),
            ..Stream::default()
        }
    }

    pub fn trace(&self) -> Trace {
        let tags = self.families.iter().flat_map(|(_, tags)| tags);
        let tag = |(name, ty): &(String, Type)| TraceTagSpec { name: name.clone(), r#type: tag_type(*ty) };
        Trace {
            metadata: self.metadata(),
            tags: tags.map(tag).collect(),
            trace_id_tag_name: self.ids[0].clone(),
            span_id_tag_name: self.ids[1].clone(),
            timestamp_tag_name: self.ids[2].clone(),
            ..Trace::default()
        }
    }

    pub fn property(&self) -> Property {
        let tags = self.tag_families().into_iter().flat_map(|family| family.tags).collect();
        Property { metadata: self.metadata(), tags, ..Property::default() }
    }

    pub fn top_n(&self) -> TopNAggregation {
        let of = &self.ranking.of;
        TopNAggregation {
            metadata: self.metadata(),
            source_measure: metadata(&self.group, &of[0]),
            field_name: of[1].clone(),
            field_value_sort: sort(of.get(2).map_or("both", String::as_str)) as i32,
            group_by_tag_names: self.ranking.by.clone(),
            criteria: self.ranking.criteria.clone(),
            counters_number: self.ranking.counters,
            lru_size: self.ranking.windows,
            ..TopNAggregation::default()
        }
    }

    /// The binding of all rules; none without rules.
    pub fn binding(&self) -> Option<IndexRuleBinding> {
        let catalog = match self.kind {
            Kind::Stream => Catalog::Stream,
            Kind::Trace => Catalog::Trace,
            _ => Catalog::Measure,
        };
        let name = |rule: &IndexRule| rule.metadata.clone().unwrap_or_default().name;
        (!self.rules.is_empty()).then(|| IndexRuleBinding {
            metadata: metadata(&self.group, &format!("{}-rules", self.name)),
            rules: self.rules.iter().map(name).collect(),
            subject: Some(Subject { catalog: catalog as i32, name: self.name.clone() }),
            begin_at: Some(timestamp(1_600_000_000_000_000_000)),
            expire_at: Some(timestamp(4_000_000_000_000_000_000)),
            ..IndexRuleBinding::default()
        })
    }
}

pub fn metadata(group: &str, name: &str) -> Option<Metadata> {
    Some(Metadata { group: group.into(), name: name.into(), ..Metadata::default() })
}

pub fn sort(word: &str) -> Sort {
    match word {
        "desc" => Sort::Desc,
        "asc" => Sort::Asc,
        "both" => Sort::Unspecified,
        _ => panic!("{word:?} is no direction"),
    }
}

fn rule(group: &str, words: &[String]) -> IndexRule {
    let [name, kind, tags @ ..] = words else { panic!("a rule has a name, a kind and tags: {words:?}") };
    let (kind, analyzer) = kind.split_once('/').unwrap_or((kind, ""));
    let ty = match kind {
        "inverted" | "unsorted" => index_rule::Type::Inverted,
        "skipping" => index_rule::Type::Skipping,
        "tree" | "unsorted-tree" => index_rule::Type::Tree,
        _ => panic!("{kind:?} is no kind of rule"),
    };
    IndexRule {
        metadata: metadata(group, name),
        tags: tags.to_vec(),
        r#type: ty as i32,
        analyzer: analyzer.into(),
        no_sort: kind.starts_with("unsorted"),
        ..IndexRule::default()
    }
}

fn tag_type(ty: Type) -> i32 {
    let ty = match ty {
        Type::Str => TagType::String,
        Type::Int => TagType::Int,
        Type::Strs => TagType::StringArray,
        Type::Ints => TagType::IntArray,
        Type::Bin => TagType::DataBinary,
        Type::Time => TagType::Timestamp,
        Type::Float => panic!("no tag is a float"),
    };
    ty as i32
}

fn field_type(ty: Type) -> FieldType {
    match ty {
        Type::Str => FieldType::String,
        Type::Int => FieldType::Int,
        Type::Float => FieldType::Float,
        Type::Bin => FieldType::DataBinary,
        other => panic!("no field is {other:?}"),
    }
}

/// `group NAME CATALOG [shards N] [segment 1d] [ttl 7d]`.
pub fn group(words: &[&str]) -> Group {
    let [name, catalog, options @ ..] = words else { panic!("a group has a name and a catalog") };
    let catalog = match *catalog {
        "measure" => Catalog::Measure,
        "stream" => Catalog::Stream,
        "trace" => Catalog::Trace,
        "property" => Catalog::Property,
        other => panic!("{other:?} is no catalog"),
    };
    let option = |name: &str, default| {
        let given = options.chunks(2).find(|pair| pair[0] == name);
        given.map_or(default, |pair| pair[1])
    };
    let has_time = catalog != Catalog::Property;
    let resource_opts = ResourceOpts {
        shard_num: option("shards", "2").parse().unwrap(),
        segment_interval: has_time.then(|| interval(option("segment", "1d"))),
        ttl: has_time.then(|| interval(option("ttl", "7d"))),
        ..ResourceOpts::default()
    };
    Group {
        metadata: metadata("", name),
        catalog: catalog as i32,
        resource_opts: Some(resource_opts),
        ..Group::default()
    }
}

fn interval(text: &str) -> IntervalRule {
    let (num, unit) = text.split_at(text.len() - 1);
    let unit = if unit == "h" { Unit::Hour } else { Unit::Day };
    IntervalRule { unit: unit as i32, num: num.parse().unwrap() }
}
