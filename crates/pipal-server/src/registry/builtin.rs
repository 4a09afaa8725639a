//! Groups and schemas that the server makes itself (server surface 1.6).

use crate::api::common::{Catalog, Group, Metadata, ResourceOpts};
use crate::api::database::{
    CompressionMethod, EncodingMethod, Entity, FieldSpec, FieldType, Measure, Property, TagFamilySpec,
    TagSpec, TagType,
};

/// The group of deletion tasks, and the name of its property schema.
pub const DELETION_TASK: &str = "_deletion_task";

/// The measure that holds the results of Top-N aggregations, one in every measure group.
pub const TOP_N_RESULT: &str = "_top_n_result";

fn metadata(group: &str, name: &str) -> Option<Metadata> {
    Some(Metadata { group: group.to_owned(), name: name.to_owned(), ..Metadata::default() })
}

fn tag(name: &str, tag_type: TagType) -> TagSpec {
    TagSpec { name: name.to_owned(), r#type: tag_type as i32 }
}

/// The group of deletion tasks.
pub fn deletion_task_group() -> Group {
    Group {
        metadata: metadata("", DELETION_TASK),
        catalog: Catalog::Property as i32,
        resource_opts: Some(ResourceOpts { shard_num: 1, ..ResourceOpts::default() }),
        ..Group::default()
    }
}

/// The schema of deletion tasks.
pub fn deletion_task_property() -> Property {
    Property {
        metadata: metadata(DELETION_TASK, DELETION_TASK),
        tags: vec![tag("task_data", TagType::DataBinary)],
        ..Property::default()
    }
}

/// The measure of Top-N results of a measure group.
pub fn top_n_result(group: &str) -> Measure {
    let tags = vec![
        tag("name", TagType::String),
        tag("direction", TagType::Int),
        tag("group", TagType::String),
        tag("parameters", TagType::String),
    ];
    let value = FieldSpec {
        name: "value".to_owned(),
        field_type: FieldType::DataBinary as i32,
        encoding_method: EncodingMethod::Gorilla as i32,
        compression_method: CompressionMethod::Zstd as i32,
    };
    Measure {
        metadata: metadata(group, TOP_N_RESULT),
        entity: Some(Entity { tag_names: tags.iter().map(|tag| tag.name.clone()).collect() }),
        tag_families: vec![TagFamilySpec { name: "_topN".to_owned(), tags }],
        fields: vec![value],
        ..Measure::default()
    }
}
