//! Real processes: a server takes writes while it is backed up; the backup is restored elsewhere and served.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use pipal_api::common::v1::{Catalog, Group, IntervalRule, Metadata, ResourceOpts, interval_rule::Unit};
use pipal_api::database::v1::group_registry_service_client::GroupRegistryServiceClient;
use pipal_api::database::v1::measure_registry_service_client::MeasureRegistryServiceClient;
use pipal_api::database::v1::{
    Entity, GroupRegistryServiceCreateRequest, Measure, MeasureRegistryServiceCreateRequest, TagFamilySpec,
    TagSpec, TagType,
};
use pipal_api::measure::v1::measure_service_client::MeasureServiceClient;
use pipal_api::measure::v1::{DataPointValue, QueryRequest, WriteRequest};
use pipal_api::model::v1::tag_projection::TagFamily;
use pipal_api::model::v1::{Str, TagFamilyForWrite, TagProjection, TagValue, TimeRange, tag_value};
use prost_types::Timestamp;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tonic::transport::Channel;

const PIPAL: &str = env!("CARGO_BIN_EXE_pipal");
const GROUPS: [&str; 2] = ["left", "right"];
const MEASURE: &str = "m";
/// Acknowledged streams before the backup, so that it has something to hold.
const STREAMS_BEFORE: usize = 20;

/// A server in a process of its own; dropping it kills it.
struct Served {
    process: Child,
    address: String,
}

impl Served {
    fn over(dir: &Path) -> Self {
        let mut process = Command::new(PIPAL)
            .args(["serve", "--grpc-port", "0", "--observability-listener-addr", "", "--data-dir"])
            .arg(dir)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, after) = line.split_once("\"address\":\"")?;
            Some(after.split('"').next().unwrap().to_owned())
        });
        // Nobody may block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Served { process, address: ready.expect("the server ended before it was ready") }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pipal(args: &[&str]) -> Output {
    Command::new(PIPAL).args(args).output().unwrap()
}

fn succeed(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn named(group: &str) -> Option<Metadata> {
    Some(Metadata { group: group.into(), name: MEASURE.into(), ..Default::default() })
}

async fn create_schema(channel: &Channel) {
    let days = |num| Some(IntervalRule { unit: Unit::Day as i32, num });
    for name in GROUPS {
        let group = Group {
            metadata: Some(Metadata { name: name.into(), ..Default::default() }),
            catalog: Catalog::Measure as i32,
            resource_opts: Some(ResourceOpts {
                shard_num: 2,
                segment_interval: days(1),
                ttl: days(7),
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = GroupRegistryServiceCreateRequest { group: Some(group) };
        GroupRegistryServiceClient::new(channel.clone()).create(request).await.unwrap();
        let tag = TagSpec { name: "id".into(), r#type: TagType::String as i32 };
        let measure = Measure {
            metadata: named(name),
            tag_families: vec![TagFamilySpec { name: "default".into(), tags: vec![tag] }],
            entity: Some(Entity { tag_names: vec!["id".into()] }),
            interval: "1m".into(),
            ..Default::default()
        };
        let request = MeasureRegistryServiceCreateRequest { measure: Some(measure) };
        MeasureRegistryServiceClient::new(channel.clone()).create(request).await.unwrap();
    }
}

fn minute() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 / 60 * 60
}

/// One stream with one row of each group: both become visible together.
async fn write(channel: &Channel, number: usize, seconds: i64) {
    let id = TagValue { value: Some(tag_value::Value::Str(Str { value: format!("{number:06}") })) };
    let message = |group: &str| WriteRequest {
        metadata: named(group),
        data_point: Some(DataPointValue {
            timestamp: Some(Timestamp { seconds, nanos: 0 }),
            tag_families: vec![TagFamilyForWrite { tags: vec![id.clone()] }],
            version: 1,
            ..Default::default()
        }),
        message_id: number as u64 + 1,
        ..Default::default()
    };
    let messages = tokio_stream::iter(GROUPS.map(message));
    let mut replies = MeasureServiceClient::new(channel.clone()).write(messages).await.unwrap().into_inner();
    let mut count = 0;
    while let Some(reply) = replies.message().await.unwrap() {
        assert_eq!(reply.status, "STATUS_SUCCEED");
        count += 1;
    }
    assert_eq!(count, GROUPS.len());
}

/// The ids in a group, sorted.
async fn ids(channel: &Channel, group: &str, seconds: i64) -> Vec<String> {
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let tags = vec![TagFamily { name: "default".into(), tags: vec!["id".into()] }];
    let request = QueryRequest {
        groups: vec![group.into()],
        name: MEASURE.into(),
        time_range: Some(TimeRange { begin: at(seconds - 60), end: at(seconds + 60) }),
        tag_projection: Some(TagProjection { tag_families: tags }),
        limit: 1_000_000,
        ..Default::default()
    };
    let answer = MeasureServiceClient::new(channel.clone()).query(request).await.unwrap().into_inner();
    let id = |value: &TagValue| match &value.value {
        Some(tag_value::Value::Str(text)) => text.value.clone(),
        other => panic!("{other:?}"),
    };
    let mut ids: Vec<String> = answer
        .data_points
        .iter()
        .map(|point| id(point.tag_families[0].tags[0].value.as_ref().unwrap()))
        .collect();
    ids.sort();
    ids
}

fn first(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:06}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_one_instant_and_serves_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (data, backup, restored) = (path("data"), path("backup"), path("restored"));
    let server = Served::over(Path::new(&data));
    let channel = server.channel().await;
    create_schema(&channel).await;
    let seconds = minute();
    let (acknowledged, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let enough = Arc::new(Mutex::new(None));
    let (begin, begun) = tokio::sync::oneshot::channel();
    *enough.lock().unwrap() = Some(begin);
    let writer = tokio::spawn({
        let (acknowledged, stop, channel) = (acknowledged.clone(), stop.clone(), channel.clone());
        async move {
            while !stop.load(Ordering::SeqCst) {
                let number = acknowledged.load(Ordering::SeqCst);
                write(&channel, number, seconds).await;
                if acknowledged.fetch_add(1, Ordering::SeqCst) == STREAMS_BEFORE {
                    let _ = enough.lock().unwrap().take().unwrap().send(());
                }
            }
        }
    });
    begun.await.unwrap();
    let before = acknowledged.load(Ordering::SeqCst);
    let args = ["backup", &server.address, &backup, "--data-dir", &data];
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let output = tokio::task::spawn_blocking(move || Command::new(PIPAL).args(args).output().unwrap());
    succeed(&output.await.unwrap());
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    let total = acknowledged.load(Ordering::SeqCst);
    let left = std::fs::read_dir(Path::new(&data).join("snapshots")).unwrap().count();
    assert_eq!(left, 0, "the snapshot that was made for the backup is gone");

    succeed(&pipal(&["restore", &backup, &restored]));
    let again = pipal(&["restore", &backup, &restored]);
    assert!(!again.status.success(), "a data directory is not overwritten");
    let copy = Served::over(Path::new(&restored));
    let held = ids(&copy.channel().await, GROUPS[0], seconds).await;
    assert!((before..=total).contains(&held.len()), "{before} <= {} <= {total}", held.len());
    assert_eq!(held, first(held.len()), "no stream is missing among those that are there");
    assert_eq!(ids(&copy.channel().await, GROUPS[1], seconds).await, held, "both groups are of one instant");
    write(&copy.channel().await, held.len(), seconds).await;
    assert_eq!(ids(&copy.channel().await, GROUPS[1], seconds).await, first(held.len() + 1));
    assert_eq!(ids(&channel, GROUPS[1], seconds).await, first(total), "the source has lost nothing");

    let taken = pipal(&["backup", &data, &path("offline")]);
    let text = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(
        !taken.status.success() && text.contains("HOST:PORT"),
        "a directory in use names the way: {text}"
    );
    drop(server);
    succeed(&pipal(&["backup", &data, &path("offline")]));
    succeed(&pipal(&["restore", &path("offline"), &path("again")]));
    let again = Served::over(Path::new(&path("again")));
    assert_eq!(
        ids(&again.channel().await, GROUPS[0], seconds).await,
        first(total),
        "after a kill, from the log"
    );
}
