//! The group, the measure and the index of the demo.

use pipal_api::common::v1::interval_rule::Unit;
use pipal_api::common::v1::{Catalog, Group, IntervalRule, Metadata, ResourceOpts};
use pipal_api::database::v1::group_registry_service_client::GroupRegistryServiceClient;
use pipal_api::database::v1::index_rule_binding_registry_service_client::IndexRuleBindingRegistryServiceClient;
use pipal_api::database::v1::index_rule_registry_service_client::IndexRuleRegistryServiceClient;
use pipal_api::database::v1::measure_registry_service_client::MeasureRegistryServiceClient;
use pipal_api::database::v1::{
    CompressionMethod, EncodingMethod, Entity, FieldSpec, FieldType, GroupRegistryServiceCreateRequest,
    IndexRule, IndexRuleBinding, IndexRuleBindingRegistryServiceCreateRequest,
    IndexRuleRegistryServiceCreateRequest, Measure, MeasureRegistryServiceCreateRequest, Subject,
    TagFamilySpec, TagSpec, TagType, index_rule,
};
use tonic::{Code, Response, Status};

use super::DemoError;
use super::session::{Session, explain};

/// The group of the demo.
pub const GROUP: &str = "demo";
/// The measure of the demo.
pub const MEASURE: &str = "service_latency_minute";
/// The family of all tags.
pub const FAMILY: &str = "default";
/// Service and instance name a series; the region is indexed.
pub const TAGS: [&str; 3] = ["service", "instance", "region"];
/// Mean latency and number of calls in a minute.
pub const FIELDS: [&str; 2] = ["latency_ms", "calls"];

const DAYS_TO_LIVE: u32 = 7;
/// 2099-01-01: the binding never ends.
const BINDING_EXPIRES_S: i64 = 4_070_908_800;

fn named(name: &str) -> Option<Metadata> {
    Some(Metadata { group: GROUP.to_owned(), name: name.to_owned(), ..Default::default() })
}

fn group() -> Group {
    let days = |num| Some(IntervalRule { unit: Unit::Day as i32, num });
    Group {
        metadata: Some(Metadata { name: GROUP.to_owned(), ..Default::default() }),
        catalog: Catalog::Measure as i32,
        resource_opts: Some(ResourceOpts {
            shard_num: 1,
            segment_interval: days(1),
            ttl: days(DAYS_TO_LIVE),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn measure() -> Measure {
    let tag = |name: &str| TagSpec { name: name.to_owned(), r#type: TagType::String as i32 };
    let field = |(name, kind): (&str, FieldType)| FieldSpec {
        name: name.to_owned(),
        field_type: kind as i32,
        encoding_method: EncodingMethod::Gorilla as i32,
        compression_method: CompressionMethod::Zstd as i32,
    };
    Measure {
        metadata: named(MEASURE),
        tag_families: vec![TagFamilySpec { name: FAMILY.to_owned(), tags: TAGS.map(tag).into() }],
        fields: FIELDS.into_iter().zip([FieldType::Float, FieldType::Int]).map(field).collect(),
        entity: Some(Entity { tag_names: vec!["service".to_owned(), "instance".to_owned()] }),
        interval: "1m".to_owned(),
        ..Default::default()
    }
}

fn rule() -> IndexRule {
    IndexRule {
        metadata: named("region"),
        tags: vec!["region".to_owned()],
        r#type: index_rule::Type::Inverted as i32,
        ..Default::default()
    }
}

fn binding() -> IndexRuleBinding {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    IndexRuleBinding {
        metadata: named(MEASURE),
        rules: vec!["region".to_owned()],
        subject: Some(Subject { catalog: Catalog::Measure as i32, name: MEASURE.to_owned() }),
        begin_at: at(0),
        expire_at: at(BINDING_EXPIRES_S),
        ..Default::default()
    }
}

/// Creates whatever is absent; gives the sentence that says which.
pub async fn ensure(session: &Session) -> Result<String, DemoError> {
    let channel = || session.channel();
    let request = session.request(GroupRegistryServiceCreateRequest { group: Some(group()) });
    let new_group = created("the group", GroupRegistryServiceClient::new(channel()).create(request).await)?;
    let request = session.request(MeasureRegistryServiceCreateRequest { measure: Some(measure()) });
    let new_measure =
        created("the measure", MeasureRegistryServiceClient::new(channel()).create(request).await)?;
    let request = session.request(IndexRuleRegistryServiceCreateRequest { index_rule: Some(rule()) });
    created("the index rule", IndexRuleRegistryServiceClient::new(channel()).create(request).await)?;
    let request =
        session.request(IndexRuleBindingRegistryServiceCreateRequest { index_rule_binding: Some(binding()) });
    created("the binding", IndexRuleBindingRegistryServiceClient::new(channel()).create(request).await)?;
    let word = |is_new| if is_new { "created" } else { "there already" };
    Ok(format!("Group {GROUP}: {}. Measure {MEASURE}: {}.", word(new_group), word(new_measure)))
}

/// True if the object is new, false if it was there already.
fn created<T>(what: &str, result: Result<Response<T>, Status>) -> Result<bool, DemoError> {
    match result {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::AlreadyExists => Ok(false),
        Err(status) => Err(explain(&format!("create {what}"), &status)),
    }
}
