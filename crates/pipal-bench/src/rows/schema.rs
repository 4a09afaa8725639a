//! The schemas of logs and segments, declared as the client does.

use pipal_api::common::v1::Catalog;
use pipal_api::database::v1::{IndexRule, Stream, TagType, Trace, TraceTagSpec, index_rule};

use crate::connection::Connections;
use crate::schema::{SchemaClient, binding_of, entity, family, group, metadata, tag_rule};

/// Which tags of log rows are indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogRules {
    /// Four, as in the table of measured systems: endpoint_id, tags, trace_id, unique_id
    Four,
    /// All six that the client binds: also content and trace_segment_id
    Client,
}

impl LogRules {
    fn tags(self) -> &'static [&'static str] {
        match self {
            LogRules::Four => &["endpoint_id", "tags", "trace_id", "unique_id"],
            LogRules::Client => {
                &["unique_id", "endpoint_id", "trace_id", "trace_segment_id", "content", "tags"]
            }
        }
    }
}

fn log_stream(group: &str) -> Stream {
    let text = |tag: &str| (tag.to_owned(), TagType::String);
    let number = |tag: &str| (tag.to_owned(), TagType::Int);
    let storage_only = [
        text("service_id"),
        text("service_instance_id"),
        number("span_id"),
        number("content_type"),
        number("timestamp"),
        ("tags_raw_data".to_owned(), TagType::DataBinary),
    ];
    let searchable = [
        text("unique_id"),
        text("endpoint_id"),
        text("trace_id"),
        text("trace_segment_id"),
        text("content"),
        ("tags".to_owned(), TagType::StringArray),
    ];
    Stream {
        metadata: Some(metadata(group, "log")),
        tag_families: vec![family("storage-only", storage_only), family("searchable", searchable)],
        entity: Some(entity(&["service_id", "service_instance_id"])),
        ..Default::default()
    }
}

/// Creates group, stream, rules and binding of logs where they are absent; gives the number of calls.
pub async fn create_logs(
    connections: &Connections,
    name: &str,
    shards: u32,
    ttl_days: u32,
    rules: LogRules,
) -> Result<u64, String> {
    let mut client = SchemaClient::new(connections.take()?);
    client.create_group(group(Catalog::Stream, name, shards, 1, ttl_days)).await?;
    let mut revision = client.create_stream(log_stream(name)).await?;
    for tag in rules.tags() {
        let mut rule = tag_rule(name, tag, "", false);
        if *tag == "trace_id" {
            rule.r#type = index_rule::Type::Skipping as i32;
        }
        revision = revision.max(client.create_rule(rule).await?);
    }
    let bound = rules.tags().iter().map(|&tag| tag.to_owned()).collect();
    revision = revision.max(client.create_binding(binding_of(Catalog::Stream, name, "log", bound)).await?);
    client.await_revision(revision).await?;
    Ok(client.calls)
}

fn segment_trace(group: &str) -> Trace {
    let tag = |name: &str, kind: TagType| TraceTagSpec { name: name.to_owned(), r#type: kind as i32 };
    Trace {
        metadata: Some(metadata(group, "segment")),
        tags: vec![
            tag("segment_id", TagType::String),
            tag("trace_id", TagType::String),
            tag("service_id", TagType::String),
            tag("service_instance_id", TagType::String),
            tag("endpoint_id", TagType::String),
            tag("start_time", TagType::Timestamp),
            tag("latency", TagType::Int),
            tag("is_error", TagType::Int),
            tag("tags", TagType::StringArray),
        ],
        trace_id_tag_name: "trace_id".to_owned(),
        timestamp_tag_name: "start_time".to_owned(),
        span_id_tag_name: "segment_id".to_owned(),
        ..Default::default()
    }
}

fn tree_rule(group: &str, order_tag: &str) -> IndexRule {
    IndexRule {
        tags: ["service_id", "is_error", order_tag].map(str::to_owned).into(),
        r#type: index_rule::Type::Tree as i32,
        no_sort: false,
        ..tag_rule(group, order_tag, "", true)
    }
}

/// Creates group, trace, rules and binding of segments where they are absent; gives the number of calls.
pub async fn create_segments(
    connections: &Connections,
    name: &str,
    shards: u32,
    ttl_days: u32,
) -> Result<u64, String> {
    let mut client = SchemaClient::new(connections.take()?);
    client.create_group(group(Catalog::Trace, name, shards, 1, ttl_days)).await?;
    let mut revision = client.create_trace(segment_trace(name)).await?;
    for order_tag in ["start_time", "latency"] {
        revision = revision.max(client.create_rule(tree_rule(name, order_tag)).await?);
    }
    let bound = vec!["start_time".to_owned(), "latency".to_owned()];
    revision = revision.max(client.create_binding(binding_of(Catalog::Trace, name, "segment", bound)).await?);
    client.await_revision(revision).await?;
    Ok(client.calls)
}
