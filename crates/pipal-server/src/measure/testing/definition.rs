//! Measure definitions in short.

use crate::api::common::Metadata;
use crate::api::database::{
    Entity, FieldSpec, FieldType, Measure, ShardingKey, TagFamilySpec, TagSpec, TagType,
};

/// Builds a measure definition.
pub struct MeasureBuilder(Measure);

/// A measure of group `g` without tags and fields.
pub fn measure(name: &str) -> MeasureBuilder {
    let metadata = Metadata { group: "g".into(), name: name.into(), ..Metadata::default() };
    MeasureBuilder(Measure { metadata: Some(metadata), interval: "1m".into(), ..Measure::default() })
}

impl MeasureBuilder {
    /// Adds a family of tags written as `name:type`.
    pub fn family(mut self, name: &str, tags: &[&str]) -> Self {
        let tags = tags.iter().map(|tag| tag_spec(tag)).collect();
        self.0.tag_families.push(TagFamilySpec { name: name.into(), tags });
        self
    }

    /// Sets the entity.
    pub fn entity(mut self, tags: &[&str]) -> Self {
        self.0.entity = Some(Entity { tag_names: texts(tags) });
        self
    }

    /// Sets the sharding key.
    pub fn sharding(mut self, tags: &[&str]) -> Self {
        self.0.sharding_key = Some(ShardingKey { tag_names: texts(tags) });
        self
    }

    /// Adds fields written as `name:type`.
    pub fn fields(mut self, fields: &[&str]) -> Self {
        self.0.fields = fields.iter().map(|field| field_spec(field)).collect();
        self
    }

    /// The definition.
    pub fn build(self) -> Measure {
        self.0
    }
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn tag_spec(text: &str) -> TagSpec {
    let (name, ty) = text.split_once(':').unwrap();
    let ty = match ty {
        "str" => TagType::String,
        "int" => TagType::Int,
        "strs" => TagType::StringArray,
        "ints" => TagType::IntArray,
        "bin" => TagType::DataBinary,
        "time" => TagType::Timestamp,
        other => panic!("no tag type {other}"),
    };
    TagSpec { name: name.into(), r#type: ty as i32 }
}

fn field_spec(text: &str) -> FieldSpec {
    let (name, ty) = text.split_once(':').unwrap();
    let ty = match ty {
        "str" => FieldType::String,
        "int" => FieldType::Int,
        "float" => FieldType::Float,
        "bin" => FieldType::DataBinary,
        other => panic!("no field type {other}"),
    };
    FieldSpec { name: name.into(), field_type: ty as i32, compression_method: 1, ..FieldSpec::default() }
}
