//! A whole server without a network for tests: registry, engine on a simulated disk, write streams and queries;
//! and short ways to write measures and messages.

mod definition;
mod message;
mod show;

pub use definition::measure;
pub use message::{MessageBuilder, everything, point};
pub use show::show;

use crate::api::common::{Catalog, Group, IntervalRule, Metadata, ResourceOpts, interval_rule::Unit};
use crate::api::database::Measure;
use crate::api::measure::{QueryRequest, QueryResponse};
use crate::metrics::ServerMetrics;
use crate::queries::Queries;
use crate::query_threads::QueryThreads;
use crate::registry::{EngineGroups, EngineStore, Registry};
use crate::top_n::TopN;
use crate::write::{Committed, ReplyStream, RowSink, STREAM_BYTES_MAX, WriteContext};
use bytes::Bytes;
use parking_lot::Mutex;
use pipal_api::write::Model;
use pipal_engine::fs::{CrashPolicy, SimulatedFileSystem};
use pipal_engine::{Engine, EngineOptions, GroupId, ManualClock, Route, WriteBatch};
use pipal_model::{Error, ErrorKind, MemoryLedger, Result, Share};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::StreamExt;
use tonic::Status;

/// 2026-01-10T12:00:00Z in milliseconds: the clock of every test.
pub const NOW_MS: i64 = 1_768_046_400_000;

/// The engine, with failures on demand.
pub struct TestSink {
    engine: Engine,
    /// Every commit fails like this.
    pub failure: Mutex<Option<ErrorKind>>,
    /// Number of rows of each commit.
    pub commits: Mutex<Vec<usize>>,
}

impl RowSink for TestSink {
    fn route(&self, group: GroupId, time: i64) -> Result<Route> {
        self.engine.route(group, time)
    }

    fn has_room(&self) -> bool {
        true
    }

    fn commit(&self, batch: WriteBatch, done: Committed) {
        self.commits.lock().push(batch.rows());
        match *self.failure.lock() {
            Some(kind) => done(Err(Error::new(kind, "commit", "asked to fail"))),
            None => self.engine.commit(batch, done),
        }
    }
}

/// A server without a network.
pub struct World {
    /// Schemas.
    pub registry: Registry,
    /// Takes the rows.
    pub sink: Arc<TestSink>,
    /// Answers queries.
    pub queries: Queries,
    /// Settings of write streams; changed before the first stream.
    pub context: WriteContext,
    /// Ranks rows; a test says when it publishes.
    pub top_n: TopN,
    /// The time.
    pub clock: Arc<ManualClock>,
    disk: SimulatedFileSystem,
}

/// What a client sees of a write stream.
#[derive(Debug, Default, PartialEq)]
pub struct Exchange {
    /// Message id and status of each reply, in order.
    pub replies: Vec<(u64, &'static str)>,
    /// How the call ended, when not well.
    pub end: Option<(tonic::Code, String)>,
}

impl World {
    /// A world with group `g` (two shards, segments of a day, seven days to live) and these measures.
    pub async fn with(measures: Vec<Measure>) -> Self {
        let world = World::on(SimulatedFileSystem::new(), NOW_MS * 1_000_000).await;
        world.registry.create_group(group("g")).await.unwrap();
        for measure in measures {
            world.registry.create(measure).await.unwrap();
        }
        world
    }

    /// The world that a process finds after a power cut, at the same time.
    pub async fn killed(&self) -> Self {
        World::on(self.disk.crash_image(CrashPolicy::Nothing), pipal_engine::Clock::now(&*self.clock)).await
    }

    async fn on(disk: SimulatedFileSystem, now: i64) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let ledger = MemoryLedger::unlimited();
        let options = EngineOptions { background: false, memory: ledger.clone(), ..EngineOptions::default() };
        let files = Arc::new(disk.clone());
        let (engine, _) = Engine::open(files, clock.clone(), Path::new("/data"), options).unwrap();
        let store = Arc::new(EngineStore::new(engine.clone()));
        let groups = Arc::new(EngineGroups(engine.clone()));
        let schemas = ledger.share(Share::Schemas, 1 << 30);
        let registry = Registry::open(store, groups, clock.clone(), schemas).await.unwrap();
        let windows = ledger.share(Share::TopN, 1 << 30);
        let top_n = TopN::new(engine.clone(), registry.clone(), clock.clone(), &windows);
        top_n.recover().unwrap();
        let failure = Mutex::new(None);
        let sink = Arc::new(TestSink { engine: engine.clone(), failure, commits: Mutex::default() });
        let context = WriteContext {
            registry: registry.clone(),
            sink: sink.clone(),
            memory: ledger.share(Share::Streams, STREAM_BYTES_MAX),
            stream_bytes_max: STREAM_BYTES_MAX,
            schema_wait: Duration::ZERO,
            metrics: Arc::new(ServerMetrics::default()),
            top_n: top_n.clone(),
        };
        let queries = Queries {
            memory: ledger.share(Share::Queries, 1 << 30),
            registry: registry.clone(),
            engine,
            threads: QueryThreads::default(),
            schema_wait: Duration::ZERO,
            slow_query: None,
            node: "node".into(),
        };
        World { registry, sink, queries, context, top_n, disk, clock }
    }

    /// The revision of a measure of group `g`.
    pub fn revision(&self, measure: &str) -> i64 {
        self.registry.measure("g", measure).unwrap().revision()
    }

    /// A stream whose messages are `requests`.
    pub fn stream<S>(&self, requests: S) -> ReplyStream<S> {
        WriteContext::replies(&Arc::new(self.context.clone()), Model::Measure, requests)
    }

    /// Plays a whole stream.
    pub async fn write(&self, messages: Vec<MessageBuilder>) -> Exchange {
        let requests = messages.into_iter().map(|message| Ok(message.encode()));
        self.play(requests.collect()).await
    }

    /// Plays a stream of these messages and faults.
    pub async fn play(&self, requests: Vec<std::result::Result<Bytes, Status>>) -> Exchange {
        let mut replies = self.stream(tokio_stream::iter(requests));
        let mut exchange = Exchange::default();
        while let Some(reply) = replies.next().await {
            match reply {
                Ok(reply) => exchange.replies.push((reply.message_id, reply.status)),
                Err(status) => exchange.end = Some((status.code(), status.message().to_owned())),
            }
        }
        exchange
    }

    /// Answers a query.
    pub async fn query(&self, request: QueryRequest) -> std::result::Result<QueryResponse, Status> {
        self.queries.query(request).await.map(|answer| answer.response)
    }

    /// All rows of a measure of group `g`, see [`show`].
    pub async fn rows(&self, measure: &str) -> Vec<String> {
        let schema = self.registry.measure("g", measure).unwrap().schema.clone();
        show(&self.query(everything(&schema)).await.unwrap())
    }
}

fn group(name: &str) -> Group {
    let days = |num| Some(IntervalRule { unit: Unit::Day as i32, num });
    Group {
        metadata: Some(Metadata { name: name.into(), ..Metadata::default() }),
        catalog: Catalog::Measure as i32,
        resource_opts: Some(ResourceOpts {
            shard_num: 2,
            segment_interval: days(1),
            ttl: days(7),
            ..ResourceOpts::default()
        }),
        ..Group::default()
    }
}
