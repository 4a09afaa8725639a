//! A whole server over a data directory, called over the network.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use pipal_api::common::v1::{Catalog, Group, IntervalRule, Metadata, ResourceOpts, interval_rule::Unit};
use pipal_api::database::v1::group_registry_service_client::GroupRegistryServiceClient;
use pipal_api::database::v1::index_rule_registry_service_client::IndexRuleRegistryServiceClient;
use pipal_api::database::v1::snapshot_service_client::SnapshotServiceClient;
use pipal_api::database::v1::{
    GroupRegistryServiceCreateRequest, GroupRegistryServiceDeleteRequest, GroupRegistryServiceGetRequest,
    GroupRegistryServiceQueryRequest, IndexRule, IndexRuleRegistryServiceCreateRequest,
    IndexRuleRegistryServiceListRequest, SnapshotRequest, group_deletion_task::Phase,
};
use pipal_server::serve::{ServeOptions, Server};
use pipal_server::services::{CheckRequest, CheckResponse};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// A server that runs in this process.
struct Running {
    channel: Channel,
    metrics: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<pipal_model::Result<()>>,
}

impl Running {
    async fn over(dir: &std::path::Path) -> Self {
        let server = Server::open(ServeOptions::local(dir)).await.unwrap();
        let (grpc, metrics) = (server.grpc_address().unwrap(), server.metrics_address().unwrap());
        let (stop, asked) = oneshot::channel();
        let ended = tokio::spawn(server.run(async {
            let _ = asked.await;
        }));
        let channel = Channel::from_shared(format!("http://{grpc}")).unwrap().connect().await.unwrap();
        Running { channel, metrics, stop, ended }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }

    fn groups(&self) -> GroupRegistryServiceClient<Channel> {
        GroupRegistryServiceClient::new(self.channel.clone())
    }

    fn rules(&self) -> IndexRuleRegistryServiceClient<Channel> {
        IndexRuleRegistryServiceClient::new(self.channel.clone())
    }

    async fn scrape(&self) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.metrics).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}

fn group(name: &str) -> Option<Group> {
    let days = |num| Some(IntervalRule { unit: Unit::Day as i32, num });
    let options =
        ResourceOpts { shard_num: 1, segment_interval: days(1), ttl: days(7), ..Default::default() };
    Some(Group {
        metadata: Some(Metadata { name: name.into(), ..Metadata::default() }),
        catalog: Catalog::Measure as i32,
        resource_opts: Some(options),
        ..Group::default()
    })
}

fn rule(name: &str) -> IndexRuleRegistryServiceCreateRequest {
    let metadata = Some(Metadata { group: "g".into(), name: name.into(), ..Metadata::default() });
    let rule = IndexRule { metadata, tags: vec!["t".into()], r#type: 1, ..IndexRule::default() };
    IndexRuleRegistryServiceCreateRequest { index_rule: Some(rule) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_after_a_restart_and_a_deleted_group_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::over(dir.path()).await;
    for name in ["g", "h"] {
        server.groups().create(GroupRegistryServiceCreateRequest { group: group(name) }).await.unwrap();
    }
    let mut rules = server.rules().send_compressed(CompressionEncoding::Gzip);
    rules.create(rule("r")).await.unwrap();
    let taken = rules.create(rule("r")).await.unwrap_err();
    assert_eq!((taken.code(), taken.message()), (Code::AlreadyExists, "banyandb: resource already exists"));
    let delete = GroupRegistryServiceDeleteRequest { group: "h".into(), ..Default::default() };
    server.groups().delete(delete).await.unwrap();
    completed(&server, "h").await;
    let get = |group: &str| GroupRegistryServiceGetRequest { group: group.into() };
    let before = server.groups().get(get("g")).await.unwrap().into_inner();
    server.stop().await;

    let server = Running::over(dir.path()).await;
    assert_eq!(server.groups().get(get("g")).await.unwrap().into_inner(), before);
    assert_eq!(server.groups().get(get("h")).await.unwrap_err().code(), Code::NotFound);
    let list = IndexRuleRegistryServiceListRequest { group: "g".into() };
    assert_eq!(server.rules().list(list).await.unwrap().into_inner().index_rule.len(), 1);
    completed(&server, "h").await;
    server.stop().await;
}

/// Waits until a deletion is over; the task is asked for again and again, as clients do.
async fn completed(server: &Running, group: &str) {
    let begun = Instant::now();
    loop {
        let query = GroupRegistryServiceQueryRequest { group: group.into() };
        let task = server.groups().query(query).await.unwrap().into_inner().task.unwrap();
        if task.current_phase == Phase::Completed as i32 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{task:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_do_not_share_a_directory_and_a_failed_start_leaves_it_free() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::over(dir.path()).await;
    let Err(error) = Server::open(ServeOptions::local(dir.path())).await else {
        panic!("the lock did not hold")
    };
    assert!(error.to_string().contains("lock"), "{error}");
    server.stop().await;
    let wrong = ServeOptions { metrics_address: Some("nonsense".into()), ..ServeOptions::local(dir.path()) };
    assert!(Server::open(wrong).await.is_err());
    Running::over(dir.path()).await.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_beyond_the_limit_and_an_unknown_service_have_their_codes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::over(dir.path()).await;
    let mut large = rule("r");
    large.index_rule.as_mut().unwrap().tags = vec!["x".repeat(17 << 20)];
    let error = server.rules().create(large).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.message().starts_with("grpc: received message larger than max ("), "{error}");
    let mut client = tonic::client::Grpc::new(server.channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<CheckRequest, CheckResponse>::default();
    let path = "/no.such.Service/Call".parse().unwrap();
    let error = client.unary(tonic::Request::new(CheckRequest::default()), path, codec).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_knows_the_services_and_scrapes_know_the_calls() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::over(dir.path()).await;
    server.groups().create(GroupRegistryServiceCreateRequest { group: group("g") }).await.unwrap();
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(server.channel.clone());
    let mut answers = reflection.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services")
    };
    assert!(list.service.iter().any(|s| s.name == "banyandb.database.v1.MeasureRegistryService"));
    let text = server.scrape().await;
    for line in [
        "banyandb_liaison_grpc_total_registry_finished{group=\"\",service=\"group\",method=\"create\"} 1\n",
        "banyandb_engine_read_only 0\n",
        "pipal_memory_reserved_bytes{share=\"rows\"} ",
        "pipal_memory_limit_bytes{share=\"schemas\"} ",
        "pipal_memory_refusals_total{share=\"streams\",limit=\"process\"} 0\n",
        "pipal_memory_process_limit_bytes ",
        "# TYPE banyandb_system_disk gauge\n",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_watch_does_not_hold_up_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::over(dir.path()).await;
    let mut client = tonic::client::Grpc::new(server.channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<CheckRequest, CheckResponse>::default();
    let path = "/grpc.health.v1.Health/Watch".parse().unwrap();
    let request = tonic::Request::new(CheckRequest::default());
    let mut watch = client.server_streaming(request, path, codec).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    let begun = Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(watch.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_names_the_schemas_and_the_catalogs_that_have_rows() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::over(dir.path()).await;
    server.groups().create(GroupRegistryServiceCreateRequest { group: group("g") }).await.unwrap();
    let mut client = SnapshotServiceClient::new(server.channel.clone());
    let answer = client.snapshot(SnapshotRequest::default()).await.unwrap().into_inner();
    let [schemas] = &answer.snapshots[..] else { panic!("no rows, no entry: {answer:?}") };
    assert_eq!((schemas.catalog, schemas.error.as_str()), (Catalog::Property as i32, ""));
    let name = schemas.name.strip_prefix("schema-property/").unwrap();
    assert!(dir.path().join("snapshots").join(name).join("snapshot").is_file(), "{name}");
    assert!(server.scrape().await.contains("banyandb_engine_snapshots_total 1\n"));

    // Where snapshots cannot be made the call stays OK and says why.
    std::fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
    std::fs::write(dir.path().join("snapshots"), "in the way").unwrap();
    let answer = client.snapshot(SnapshotRequest::default()).await.unwrap().into_inner();
    assert!(answer.snapshots.iter().any(|s| s.catalog == Catalog::Measure as i32), "{answer:?}");
    assert!(answer.snapshots.iter().all(|s| !s.error.is_empty()), "{answer:?}");
    assert!(server.scrape().await.contains("banyandb_engine_snapshot_errors_total 1\n"));
    server.stop().await;
}
