//! Services called as their clients would, without a network between.

use super::*;
use crate::api::cluster::node_schema_status_service_server::NodeSchemaStatusService;
use crate::api::cluster::{GetAbsentKeysRequest, GetKeyRevisionsRequest, GetMaxRevisionRequest};
use crate::api::common::{Catalog, Metadata};
use crate::api::database::group_registry_service_server::GroupRegistryService;
use crate::api::database::index_rule_registry_service_server::IndexRuleRegistryService;
use crate::api::database::measure_registry_service_server::MeasureRegistryService;
use crate::api::database::*;
use crate::api::schema::schema_barrier_service_server::SchemaBarrierService;
use crate::api::schema::{AwaitRevisionAppliedRequest, AwaitSchemaAppliedRequest, AwaitSchemaDeletedRequest};
use crate::metrics::ServerMetrics;
use crate::registry::testing::{World, group_of, measure_group, measure_of, metadata, rule_of};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tonic::{Code, Request};

fn identity() -> NodeIdentity {
    NodeIdentity {
        name: "host:17912".into(),
        http_address: "host:17913".into(),
        labels: HashMap::new(),
        created_at: SystemTime::UNIX_EPOCH,
    }
}

fn schemas(world: &World) -> SchemaService {
    SchemaService::new(world.registry.clone(), Arc::new(ServerMetrics::default()))
}

fn groups(world: &World) -> GroupService {
    GroupService::new(world.registry.clone(), Arc::new(identity()), Arc::new(ServerMetrics::default()))
}

fn key(kind: &str, group: &str, name: &str) -> SchemaKey {
    SchemaKey { kind: kind.into(), group: group.into(), name: name.into() }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

#[tokio::test]
async fn requests_without_their_parts_are_invalid_and_panic_nowhere() {
    let service = schemas(&World::new().await);
    let create = MeasureRegistryServiceCreateRequest::default();
    let error = MeasureRegistryService::create(&service, Request::new(create)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    for metadata in [None, Some(Metadata { group: "g".into(), ..Metadata::default() })] {
        let get = MeasureRegistryServiceGetRequest { metadata: metadata.clone() };
        let error = MeasureRegistryService::get(&service, Request::new(get)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        let delete = MeasureRegistryServiceDeleteRequest { metadata };
        let error = MeasureRegistryService::delete(&service, Request::new(delete)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn list_without_a_group_says_which_field_is_missing() {
    let service = schemas(&World::new().await);
    let list = Request::new(MeasureRegistryServiceListRequest::default());
    let error = MeasureRegistryService::list(&service, list).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::InvalidArgument, "banyandb: input is invalid"));
    let details = String::from_utf8_lossy(error.details()).into_owned();
    assert!(details.contains("google.rpc.BadRequest") && details.contains("group should not be empty"));
}

#[tokio::test]
async fn an_object_counts_for_its_group() {
    let world = World::new().await;
    let service = schemas(&world);
    let exist = |group: &str| IndexRuleRegistryServiceExistRequest { metadata: metadata(group, "r") };
    let answer = async |group| {
        let answer = IndexRuleRegistryService::exist(&service, Request::new(exist(group))).await.unwrap();
        let answer = answer.into_inner();
        (answer.has_group, answer.has_index_rule)
    };
    assert_eq!(answer("g").await, (false, false));
    world.registry.create(rule_of("g", "r", "t")).await.unwrap();
    assert_eq!(answer("g").await, (true, true), "a rule in a group that does not exist");
    world.registry.create_group(measure_group("h")).await.unwrap();
    assert_eq!(answer("h").await, (true, false));
}

#[tokio::test]
async fn inspect_shows_rows_of_data_groups_only() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let mut documents = group_of("p", Catalog::Property);
    documents.resource_opts = Some(crate::api::common::ResourceOpts { shard_num: 1, ..Default::default() });
    world.registry.create_group(documents).await.unwrap();
    world.groups.fill(world.registry.group("g").unwrap().id, 12);
    let service = groups(&world);
    let inspect = async |group: &str| {
        let request = GroupRegistryServiceInspectRequest { group: group.into() };
        GroupRegistryService::inspect(&service, Request::new(request)).await.unwrap().into_inner()
    };
    let data = inspect("g").await;
    assert_eq!(data.schema_info.unwrap().measures, ["_top_n_result"]);
    let info = &data.data_info[0];
    assert_eq!((info.data_size_bytes, info.segment_info[0].segment_id.as_str()), (12, "0-1"));
    assert_eq!(info.segment_info[0].time_range_end, "1970-01-01T00:00:00.000000001Z");
    assert_eq!(info.node.as_ref().unwrap().roles.len(), 3);
    assert!(inspect("p").await.data_info.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_barrier_waits_for_what_is_not_there_and_then_says_what_is_missing() {
    let world = World::new().await;
    let barrier = BarrierService::new(world.registry.clone(), "host:17912");
    let far = AwaitRevisionAppliedRequest { min_revision: i64::MAX, timeout: None };
    let started = tokio::time::Instant::now();
    let answer = barrier.await_revision_applied(Request::new(far)).await.unwrap().into_inner();
    assert_eq!(started.elapsed().as_secs(), 5, "without a timeout it waits five seconds");
    assert!(!answer.applied);
    assert_eq!(answer.laggards[0].node, "liaison-host:17912");
    assert_eq!(answer.laggards[0].current_mod_revision, *world.registry.applied().borrow());

    let keys = vec![key("measure", "g", "m"), key("group", "", "_deletion_task"), key("nonsense", "g", "m")];
    let request =
        AwaitSchemaAppliedRequest { keys: keys.clone(), min_revisions: vec![], timeout: seconds(1) };
    let answer = barrier.await_schema_applied(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(answer.laggards[0].missing_keys, [keys[0].clone(), keys[2].clone()]);
    let request = AwaitSchemaDeletedRequest { keys: keys.clone(), timeout: seconds(1) };
    let answer = barrier.await_schema_deleted(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(answer.laggards[0].still_present_keys, [keys[1].clone()]);
}

#[tokio::test]
async fn a_barrier_wakes_with_the_change_that_it_waits_for() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let barrier = BarrierService::new(world.registry.clone(), "n");
    let request = AwaitSchemaAppliedRequest {
        keys: vec![key("measure", "g", "m")],
        min_revisions: vec![],
        timeout: seconds(600),
    };
    let waiting = tokio::spawn(async move { barrier.await_schema_applied(Request::new(request)).await });
    tokio::task::yield_now().await;
    world.registry.create(measure_of("g", "m", &["id"])).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
    assert!(answer.into_inner().applied);
}

#[tokio::test]
async fn too_many_keys_are_refused() {
    let world = World::new().await;
    let barrier = BarrierService::new(world.registry.clone(), "n");
    let keys = vec![SchemaKey::default(); MAX_KEYS + 1];
    let request = AwaitSchemaDeletedRequest { keys, timeout: None };
    let error = barrier.await_schema_deleted(Request::new(request)).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::InvalidArgument, "too many keys: max=10000"));
}

#[tokio::test]
async fn the_schema_status_agrees_with_the_registry() {
    let world = World::new().await;
    let revision = world.registry.create_group(measure_group("g")).await.unwrap();
    let service = SchemaStatusService(world.registry.clone());
    let keys = vec![key("group", "", "g"), key("stream", "g", "s")];
    let request = GetKeyRevisionsRequest { keys: keys.clone() };
    let revisions = service.get_key_revisions(Request::new(request)).await.unwrap().into_inner().revisions;
    assert_eq!((revisions[0].mod_revision, revisions[0].present), (revision, true));
    assert_eq!((revisions[1].mod_revision, revisions[1].present), (0, false));
    let request = GetAbsentKeysRequest { keys: keys.clone() };
    let absent = service.get_absent_keys(Request::new(request)).await.unwrap().into_inner();
    assert_eq!((&absent.absent_keys[0], &absent.still_present_keys[0]), (&keys[1], &keys[0]));
    let max = service.get_max_revision(Request::new(GetMaxRevisionRequest {})).await.unwrap().into_inner();
    assert!(max.max_mod_revision >= revision);
}
