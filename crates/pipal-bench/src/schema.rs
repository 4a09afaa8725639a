//! Creates groups, measures, index rules and bindings through the registry services.

use std::time::{Duration, SystemTime};

use pipal_api::common::v1::{Catalog, Group, IntervalRule, Metadata, ResourceOpts, interval_rule::Unit};
use pipal_api::database::v1::group_registry_service_client::GroupRegistryServiceClient;
use pipal_api::database::v1::index_rule_binding_registry_service_client::IndexRuleBindingRegistryServiceClient;
use pipal_api::database::v1::index_rule_registry_service_client::IndexRuleRegistryServiceClient;
use pipal_api::database::v1::measure_registry_service_client::MeasureRegistryServiceClient;
use pipal_api::database::v1::property_registry_service_client::PropertyRegistryServiceClient;
use pipal_api::database::v1::stream_registry_service_client::StreamRegistryServiceClient;
use pipal_api::database::v1::top_n_aggregation_registry_service_client::TopNAggregationRegistryServiceClient;
use pipal_api::database::v1::trace_registry_service_client::TraceRegistryServiceClient;
use pipal_api::database::v1::{
    CompressionMethod, EncodingMethod, Entity, FieldSpec, FieldType, GroupRegistryServiceCreateRequest,
    IndexRule, IndexRuleBinding, IndexRuleBindingRegistryServiceCreateRequest,
    IndexRuleRegistryServiceCreateRequest, Measure, MeasureRegistryServiceCreateRequest,
    MeasureRegistryServiceExistRequest, Property, PropertyRegistryServiceCreateRequest, Stream,
    StreamRegistryServiceCreateRequest, Subject, TagFamilySpec, TagSpec, TagType, TopNAggregation,
    TopNAggregationRegistryServiceCreateRequest, Trace, TraceRegistryServiceCreateRequest, index_rule,
};
use pipal_api::schema::v1::AwaitRevisionAppliedRequest;
use pipal_api::schema::v1::schema_barrier_service_client::SchemaBarrierServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// How long the barrier may wait, as the client asks for.
const BARRIER_TIMEOUT_S: i64 = 2;
/// The expiry of bindings that the client sends: 2099-01-01.
const BINDING_EXPIRES_S: i64 = 4_070_908_800;

/// Names a schema object.
pub fn metadata(group: &str, name: &str) -> Metadata {
    Metadata { group: group.to_owned(), name: name.to_owned(), ..Default::default() }
}

/// A group of measures whose segments and lifetime are given in days.
pub fn measure_group(name: &str, shards: u32, segment_days: u32, ttl_days: u32) -> Group {
    group(Catalog::Measure, name, shards, segment_days, ttl_days)
}

/// A group of properties: documents have no segments and no end.
pub fn property_group(name: &str, shards: u32) -> Group {
    let mut group = group(Catalog::Property, name, shards, 0, 0);
    if let Some(options) = &mut group.resource_opts {
        (options.segment_interval, options.ttl) = (None, None);
    }
    group
}

/// A group of a catalog whose segments and lifetime are given in days.
pub fn group(catalog: Catalog, name: &str, shards: u32, segment_days: u32, ttl_days: u32) -> Group {
    let days = |num| Some(IntervalRule { unit: Unit::Day as i32, num });
    Group {
        metadata: Some(metadata("", name)),
        catalog: catalog as i32,
        resource_opts: Some(ResourceOpts {
            shard_num: shards,
            segment_interval: days(segment_days),
            ttl: days(ttl_days),
            default_stages: vec!["hot".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A tag family with its tags.
pub fn family(name: &str, tags: impl IntoIterator<Item = (String, TagType)>) -> TagFamilySpec {
    let tags = tags.into_iter().map(|(name, kind)| TagSpec { name, r#type: kind as i32 });
    TagFamilySpec { name: name.to_owned(), tags: tags.collect() }
}

/// A field as the client declares it: whole numbers ask for GORILLA, everything for ZSTD.
pub fn field(name: &str, kind: FieldType) -> FieldSpec {
    let encoding = match kind {
        FieldType::Int => EncodingMethod::Gorilla,
        _ => EncodingMethod::Unspecified,
    };
    FieldSpec {
        name: name.to_owned(),
        field_type: kind as i32,
        encoding_method: encoding as i32,
        compression_method: CompressionMethod::Zstd as i32,
    }
}

/// The entity (series key) of these tags.
pub fn entity(tags: &[&str]) -> Entity {
    Entity { tag_names: tags.iter().map(|&tag| tag.to_owned()).collect() }
}

/// The index rule of a tag, named like it.
pub fn tag_rule(group: &str, tag: &str, analyzer: &str, sortable: bool) -> IndexRule {
    IndexRule {
        metadata: Some(metadata(group, tag)),
        tags: vec![tag.to_owned()],
        r#type: index_rule::Type::Inverted as i32,
        analyzer: analyzer.to_owned(),
        no_sort: !sortable,
        ..Default::default()
    }
}

/// The binding of a measure to its rules, named like the measure.
pub fn binding(group: &str, measure: &str, rules: Vec<String>) -> IndexRuleBinding {
    binding_of(Catalog::Measure, group, measure, rules)
}

/// The binding of an object of a catalog to its rules, named like the object.
pub fn binding_of(catalog: Catalog, group: &str, name: &str, rules: Vec<String>) -> IndexRuleBinding {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    IndexRuleBinding {
        metadata: Some(metadata(group, name)),
        rules,
        subject: Some(Subject { catalog: catalog as i32, name: name.to_owned() }),
        begin_at: at(now.as_secs() as i64),
        expire_at: at(BINDING_EXPIRES_S),
        ..Default::default()
    }
}

/// A client of the registry services that treats "already exists" as done and counts its calls.
#[derive(Debug)]
pub struct SchemaClient {
    channel: Channel,
    pub calls: u64,
}

fn created<T>(what: String, result: Result<Response<T>, Status>) -> Result<Option<T>, String> {
    match result {
        Ok(response) => Ok(Some(response.into_inner())),
        Err(status) if status.code() == Code::AlreadyExists => Ok(None),
        Err(status) => Err(format!("create {what}: {:?}: {}", status.code(), status.message())),
    }
}

impl SchemaClient {
    /// A client on this connection.
    pub fn new(channel: Channel) -> Self {
        SchemaClient { channel, calls: 0 }
    }

    /// Creates a group unless it exists.
    pub async fn create_group(&mut self, group: Group) -> Result<(), String> {
        self.calls += 1;
        let what = format!("group {}", group.metadata.as_ref().map_or("", |m| &m.name));
        let request = GroupRegistryServiceCreateRequest { group: Some(group) };
        let result = GroupRegistryServiceClient::new(self.channel.clone()).create(request).await;
        created(what, result).map(|_| ())
    }

    /// Asks whether a measure exists, as the client does before it creates one.
    pub async fn measure_exists(&mut self, group: &str, name: &str) -> Result<bool, String> {
        self.calls += 1;
        let request = MeasureRegistryServiceExistRequest { metadata: Some(metadata(group, name)) };
        let result = MeasureRegistryServiceClient::new(self.channel.clone()).exist(request).await;
        result
            .map(|reply| reply.into_inner().has_measure)
            .map_err(|status| format!("exist {group}.{name}: {status}"))
    }

    /// Creates a measure unless it exists; gives the revision, 0 if it existed.
    pub async fn create_measure(&mut self, measure: Measure) -> Result<i64, String> {
        self.calls += 1;
        let what = format!("measure {}", measure.metadata.as_ref().map_or("", |m| &m.name));
        let request = MeasureRegistryServiceCreateRequest { measure: Some(measure) };
        let result = MeasureRegistryServiceClient::new(self.channel.clone()).create(request).await;
        created(what, result).map(|reply| reply.map_or(0, |reply| reply.mod_revision))
    }

    /// Creates a stream unless it exists; gives the revision, 0 if it existed.
    pub async fn create_stream(&mut self, stream: Stream) -> Result<i64, String> {
        self.calls += 1;
        let what = format!("stream {}", stream.metadata.as_ref().map_or("", |m| &m.name));
        let request = StreamRegistryServiceCreateRequest { stream: Some(stream) };
        let result = StreamRegistryServiceClient::new(self.channel.clone()).create(request).await;
        created(what, result).map(|reply| reply.map_or(0, |reply| reply.mod_revision))
    }

    /// Creates a trace unless it exists; gives the revision, 0 if it existed.
    pub async fn create_trace(&mut self, trace: Trace) -> Result<i64, String> {
        self.calls += 1;
        let what = format!("trace {}", trace.metadata.as_ref().map_or("", |m| &m.name));
        let request = TraceRegistryServiceCreateRequest { trace: Some(trace) };
        let result = TraceRegistryServiceClient::new(self.channel.clone()).create(request).await;
        created(what, result).map(|reply| reply.map_or(0, |reply| reply.mod_revision))
    }

    /// Creates a property unless it exists.
    pub async fn create_property(&mut self, property: Property) -> Result<(), String> {
        self.calls += 1;
        let what = format!("property {}", property.metadata.as_ref().map_or("", |m| &m.name));
        let request = PropertyRegistryServiceCreateRequest { property: Some(property) };
        let result = PropertyRegistryServiceClient::new(self.channel.clone()).create(request).await;
        created(what, result).map(|_| ())
    }

    /// Creates an index rule unless it exists.
    pub async fn create_rule(&mut self, rule: IndexRule) -> Result<i64, String> {
        self.calls += 1;
        let what = format!("index rule {}", rule.metadata.as_ref().map_or("", |m| &m.name));
        let request = IndexRuleRegistryServiceCreateRequest { index_rule: Some(rule) };
        let result = IndexRuleRegistryServiceClient::new(self.channel.clone()).create(request).await;
        created(what, result).map(|reply| reply.map_or(0, |reply| reply.mod_revision))
    }

    /// Creates a binding unless it exists.
    pub async fn create_binding(&mut self, binding: IndexRuleBinding) -> Result<i64, String> {
        self.calls += 1;
        let what = format!("index rule binding {}", binding.metadata.as_ref().map_or("", |m| &m.name));
        let request = IndexRuleBindingRegistryServiceCreateRequest { index_rule_binding: Some(binding) };
        let result = IndexRuleBindingRegistryServiceClient::new(self.channel.clone()).create(request).await;
        created(what, result).map(|reply| reply.map_or(0, |reply| reply.mod_revision))
    }

    /// Creates a Top-N aggregation unless it exists. False if the server does not serve them.
    pub async fn create_top_n(&mut self, top_n: TopNAggregation) -> Result<bool, String> {
        self.calls += 1;
        let what = format!("Top-N aggregation {}", top_n.metadata.as_ref().map_or("", |m| &m.name));
        let request = TopNAggregationRegistryServiceCreateRequest { top_n_aggregation: Some(top_n) };
        let result = TopNAggregationRegistryServiceClient::new(self.channel.clone()).create(request).await;
        match result {
            Err(status) if status.code() == Code::Unimplemented => Ok(false),
            result => created(what, result).map(|_| true),
        }
    }

    /// Waits until the revision is in force. Servers without the barrier apply schema changes at once.
    pub async fn await_revision(&mut self, min_revision: i64) -> Result<(), String> {
        if min_revision <= 0 {
            return Ok(());
        }
        self.calls += 1;
        let timeout = Some(prost_types::Duration { seconds: BARRIER_TIMEOUT_S, nanos: 0 });
        let request = AwaitRevisionAppliedRequest { min_revision, timeout };
        let result =
            SchemaBarrierServiceClient::new(self.channel.clone()).await_revision_applied(request).await;
        match result {
            Ok(reply) if reply.get_ref().applied => Ok(()),
            Ok(_) => Err(format!("revision {min_revision} was not applied within {BARRIER_TIMEOUT_S} s")),
            Err(status) if status.code() == Code::Unimplemented => Ok(()),
            Err(status) => Err(format!("schema barrier: {status}")),
        }
    }
}
