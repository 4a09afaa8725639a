//! A whole server without a network, on a simulated disk, whose storage is brought into a [`State`].

use crate::values::BASE;
use bytes::Bytes;
use pipal_api::write::Model;
use pipal_engine::fs::{CrashPolicy, SimulatedFileSystem};
use pipal_engine::{Engine, EngineOptions, ManualClock};
use pipal_model::{MemoryLedger, Share};
use pipal_server::metrics::ServerMetrics;
use pipal_server::property::{PropertyChanges, PropertyQueries};
use pipal_server::queries::Queries;
use pipal_server::registry::{EngineGroups, EngineStore, Registry, SchemaObject};
use pipal_server::top_n::TopN;
use pipal_server::write::{STREAM_BYTES_MAX, WriteContext};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::StreamExt;

/// Where rows are when they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In memory.
    Memory,
    /// In parts, one per write and table.
    Flushed,
    /// In one part per table.
    Merged,
    /// Partly in parts and partly in memory, then stopped and started again.
    Reopened,
    /// The same, but killed: what was in memory comes from the log.
    Killed,
}

/// All states.
pub const STATES: [State; 5] = [State::Memory, State::Flushed, State::Merged, State::Reopened, State::Killed];

/// A server.
pub struct World {
    pub state: State,
    pub clock: Arc<ManualClock>,
    disk: SimulatedFileSystem,
    /// None only while it is being opened again.
    open: Option<Open>,
    writes: u64,
}

/// What runs on the disk.
pub struct Open {
    pub engine: Engine,
    pub registry: Registry,
    pub queries: Queries,
    pub documents: PropertyQueries,
    pub changes: PropertyChanges,
    top_n: TopN,
    writes: Arc<WriteContext>,
}

impl World {
    /// An empty server at [`BASE`].
    pub async fn new(state: State) -> World {
        let (clock, disk) = (Arc::new(ManualClock::new(BASE)), SimulatedFileSystem::new());
        let open = Some(Open::on(&disk, &clock).await);
        World { state, clock, disk, open, writes: 0 }
    }

    pub fn open(&self) -> &Open {
        self.open.as_ref().expect("the server runs")
    }

    /// Makes an object or replaces it.
    pub async fn put<T: SchemaObject + std::fmt::Debug>(&self, object: T) {
        let registry = &self.open().registry;
        let result = match registry.get::<T>(object.group(), object.name()) {
            None => registry.create(object).await,
            Some(_) => registry.update(object).await,
        };
        result.unwrap();
    }

    /// Writes a stream of encoded messages; gives the number and the status of each reply.
    pub async fn write(&mut self, model: Model, messages: Vec<Bytes>) -> Vec<(u64, &'static str)> {
        let requests = tokio_stream::iter(messages.into_iter().map(Ok));
        let mut replies = WriteContext::replies(&self.open().writes, model, requests);
        let mut statuses = Vec::new();
        while let Some(reply) = replies.next().await {
            let reply = reply.unwrap();
            statuses.push((reply.message_id, reply.status));
        }
        self.wrote();
        statuses
    }

    /// To be called after each change of rows.
    pub fn wrote(&mut self) {
        self.writes += 1;
        let flushes = match self.state {
            State::Memory => false,
            State::Flushed | State::Merged => true,
            State::Reopened | State::Killed => self.writes % 2 == 1,
        };
        if flushes {
            self.open().engine.flush().unwrap();
        }
    }

    /// Brings what was written into the state.
    pub async fn settle(&mut self) {
        if self.state != State::Killed {
            self.open().top_n.tick();
        }
        match self.state {
            State::Memory => {}
            State::Flushed => {
                self.open().engine.flush().unwrap();
                assert_eq!(self.open().engine.stats().memory_rows, 0, "everything is flushed");
            }
            State::Merged => {
                self.open().engine.flush().unwrap();
                self.open().engine.wait_merges().unwrap();
                assert!(self.open().engine.stats().parts_per_table_max <= 1, "everything is merged");
            }
            State::Reopened => {
                self.open().engine.close().unwrap();
                self.open = None;
                self.open = Some(Open::on(&self.disk, &self.clock).await);
            }
            State::Killed => {
                self.open = None;
                self.disk = self.disk.crash_image(CrashPolicy::Nothing);
                self.open = Some(Open::on(&self.disk, &self.clock).await);
            }
        }
        self.open().top_n.tick();
    }

    /// Lets retention remove expired segments.
    pub fn expire(&self) {
        self.open().engine.run_retention().unwrap();
        self.open().engine.reap().unwrap();
    }
}

impl Open {
    async fn on(disk: &SimulatedFileSystem, clock: &Arc<ManualClock>) -> Open {
        let ledger = MemoryLedger::unlimited();
        let options = EngineOptions {
            background: false,
            merge_inputs_min: 2,
            merge_cool_age_ms: 0,
            memory: ledger.clone(),
            ..EngineOptions::default()
        };
        let files = Arc::new(disk.clone());
        let (engine, report) = Engine::open(files, clock.clone(), Path::new("/data"), options).unwrap();
        assert!(report.damages.is_empty(), "{:?}", report.damages);
        let (store, groups) = (EngineStore::new(engine.clone()), EngineGroups(engine.clone()));
        let schemas = ledger.share(Share::Schemas, 1 << 30);
        let registry =
            Registry::open(Arc::new(store), Arc::new(groups), clock.clone(), schemas).await.unwrap();
        let windows = ledger.share(Share::TopN, 1 << 30);
        let top_n = TopN::new(engine.clone(), registry.clone(), clock.clone(), &windows);
        top_n.recover().unwrap();
        let writes = Arc::new(WriteContext {
            registry: registry.clone(),
            sink: Arc::new(engine.clone()),
            memory: ledger.share(Share::Streams, STREAM_BYTES_MAX),
            stream_bytes_max: STREAM_BYTES_MAX,
            schema_wait: Duration::ZERO,
            metrics: Arc::new(ServerMetrics::default()),
            top_n: top_n.clone(),
        });
        let memory = ledger.share(Share::Queries, 1 << 30);
        let queries = Queries {
            registry: registry.clone(),
            engine: engine.clone(),
            memory: memory.clone(),
            threads: Default::default(),
            schema_wait: Duration::ZERO,
            slow_query: None,
            node: "node".into(),
        };
        let documents = PropertyQueries {
            registry: registry.clone(),
            engine: engine.clone(),
            memory: memory.clone(),
            threads: queries.threads.clone(),
            slow_query: None,
            node: "node".into(),
        };
        let changes = PropertyChanges::new(registry.clone(), engine.clone(), memory, clock.clone());
        Open { engine, registry, queries, documents, changes, top_n, writes }
    }
}
