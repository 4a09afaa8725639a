//! A server process from its start to its end.
//!
//! Start: the engine opens (which locks the data directory and replays the log), the registry loads, then the
//! ports open; an open port means ready. Stop: no new calls, up to [`DRAIN`] for the running ones, then the
//! engine closes; all of it within [`STOP`].

mod grpc;
mod listen;
mod options;
mod scrape;

pub use options::ServeOptions;
pub use pipal_engine::AckLevel;

use crate::metrics::{ServerMetrics, serve_metrics};
use crate::property::{PropertyChanges, PropertyQueries};
use crate::queries::Queries;
use crate::query_threads::QueryThreads;
use crate::registry::{EngineGroups, EngineStore, Registry};
use crate::services::{NodeIdentity, SnapshotService};
use crate::top_n::TopN;
use crate::write::{STREAM_BYTES_MAX, WriteContext};
use pipal_engine::fs::OsFileSystem;
use pipal_engine::{Engine, RecoveryReport, SystemClock};
use pipal_model::{Error, MemoryLedger, Result, Share};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long running calls may go on after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a stop may take altogether. Whatever is not flushed by then is in the log.
const STOP: Duration = Duration::from_secs(9);

/// A server whose ports are open; it answers once it runs.
pub struct Server {
    started: Instant,
    engine: Engine,
    ledger: MemoryLedger,
    metrics: Arc<ServerMetrics>,
    top_n: TopN,
    grpc: TcpListener,
    scrapes: Option<TcpListener>,
    routes: tonic::service::Routes,
    stop: watch::Sender<bool>,
}

/// Runs a server until `stop` is done.
///
/// # Errors
/// Those of [`Server::open`] and [`Server::run`].
pub async fn serve(options: ServeOptions, stop: impl Future<Output = ()>) -> Result<()> {
    Server::open(options).await?.run(stop).await
}

async fn open_engine(options: &ServeOptions, ledger: &MemoryLedger, started: Instant) -> Result<Engine> {
    let (root, engine_options) = (options.data_dir.clone(), options.engine(ledger));
    let open = move || Engine::open(Arc::new(OsFileSystem), Arc::new(SystemClock), &root, engine_options);
    let opened = tokio::task::spawn_blocking(open).await;
    let lost = |lost: tokio::task::JoinError| Err(Error::internal("open engine", lost.to_string()));
    let (engine, report) = opened.unwrap_or_else(lost)?;
    log_recovery(options, &report, started.elapsed());
    Ok(engine)
}

fn log_recovery(options: &ServeOptions, report: &RecoveryReport, took: Duration) {
    for damage in &report.damages {
        tracing::error!(%damage, "damage found");
    }
    for tail in &report.cut_tails {
        tracing::warn!(%tail, "an unsynced tail of the log was cut");
    }
    tracing::info!(
        data_dir = %options.data_dir.display(),
        tables = report.tables,
        replayed_entries = report.replayed_entries,
        damages = report.damages.len(),
        quarantined = report.quarantined,
        redundant = report.redundant,
        took_ms = took.as_secs_f64() * 1_000.0,
        "the data directory is open"
    );
}

/// Loads the registry, makes the services, and opens the ports last.
async fn listen(
    options: &ServeOptions,
    engine: &Engine,
    ledger: MemoryLedger,
    started: Instant,
) -> Result<Server> {
    let store = Arc::new(EngineStore::new(engine.clone()));
    let storage = Arc::new(EngineGroups(engine.clone()));
    let schemas = ledger.share(Share::Schemas, options.schemas_bytes_max());
    let registry =
        Registry::open(store, storage, Arc::new(SystemClock), schemas).await.map_err(Error::from)?;
    let metrics = Arc::new(ServerMetrics::default());
    let top_n = open_top_n(options, &ledger, engine, &registry).await?;
    let (stop, stopping) = watch::channel(false);
    let grpc = listen::bind("--grpc-host, --grpc-port", &options.grpc_host, options.grpc_port).await?;
    let identity = Arc::new(identity(options, &grpc)?);
    let queries = queries(options, &ledger, engine, &registry, &identity);
    let shared = grpc::Shared {
        property_changes: property_changes(&queries),
        property_queries: property_queries(&queries),
        queries,
        writes: writes(options, &ledger, engine, &registry, &metrics, &top_n),
        snapshots: SnapshotService::new(engine.clone(), registry.clone()),
        registry,
        metrics: metrics.clone(),
        identity,
        api_version: options.api_version.clone(),
        message_bytes_max: options.message_bytes_max,
        stopping,
    };
    let routes = grpc::routes(&shared)?.routes();
    let scrapes = match &options.metrics_address {
        None => None,
        Some(address) => {
            let flag = "--observability-listener-addr";
            let (host, port) = listen::host_and_port(flag, address)?;
            Some(listen::bind(flag, &host, port).await?)
        }
    };
    if !listen::is_loopback(&options.grpc_host) {
        tracing::warn!(host = %options.grpc_host, "the server is open beyond this machine without authentication");
    }
    Ok(Server { started, engine: engine.clone(), ledger, metrics, top_n, grpc, scrapes, routes, stop })
}

fn queries(
    options: &ServeOptions,
    ledger: &MemoryLedger,
    engine: &Engine,
    registry: &Registry,
    identity: &NodeIdentity,
) -> Queries {
    Queries {
        registry: registry.clone(),
        engine: engine.clone(),
        memory: ledger.share(Share::Queries, options.queries_bytes_max()),
        threads: QueryThreads::default(),
        schema_wait: options.measure_schema_wait,
        slow_query: options.slow_query,
        node: identity.name.as_str().into(),
    }
}

/// Queries of all data models share memory and threads.
fn property_queries(queries: &Queries) -> PropertyQueries {
    PropertyQueries {
        registry: queries.registry.clone(),
        engine: queries.engine.clone(),
        memory: queries.memory.clone(),
        threads: queries.threads.clone(),
        slow_query: queries.slow_query,
        node: queries.node.clone(),
    }
}

fn property_changes(queries: &Queries) -> PropertyChanges {
    let (registry, engine) = (queries.registry.clone(), queries.engine.clone());
    PropertyChanges::new(registry, engine, queries.memory.clone(), Arc::new(SystemClock))
}

fn writes(
    options: &ServeOptions,
    ledger: &MemoryLedger,
    engine: &Engine,
    registry: &Registry,
    metrics: &Arc<ServerMetrics>,
    top_n: &TopN,
) -> Arc<WriteContext> {
    Arc::new(WriteContext {
        registry: registry.clone(),
        sink: Arc::new(engine.clone()),
        memory: ledger.share(Share::Streams, options.write_streams_bytes_max()),
        stream_bytes_max: STREAM_BYTES_MAX,
        schema_wait: options.measure_schema_wait,
        metrics: metrics.clone(),
        top_n: top_n.clone(),
    })
}

/// Finds the windows of the process before.
async fn open_top_n(
    options: &ServeOptions,
    ledger: &MemoryLedger,
    engine: &Engine,
    registry: &Registry,
) -> Result<TopN> {
    let memory = ledger.share(Share::TopN, options.top_n_bytes_max());
    let top_n = TopN::new(engine.clone(), registry.clone(), Arc::new(SystemClock), &memory);
    let recovering = top_n.clone();
    let recovered = tokio::task::spawn_blocking(move || recovering.recover()).await;
    recovered.unwrap_or_else(|lost| Err(Error::internal("open Top-N", lost.to_string())))?;
    Ok(top_n)
}

fn identity(options: &ServeOptions, grpc: &TcpListener) -> Result<NodeIdentity> {
    let address = grpc.local_addr().map_err(|cause| Error::io("listen on", &options.grpc_host, cause))?;
    let host = &options.node_host;
    Ok(NodeIdentity {
        name: format!("{host}:{}", address.port()),
        http_address: format!("{host}:{}", options.http_port),
        labels: options.node_labels.clone(),
        created_at: SystemTime::now(),
    })
}

impl Server {
    /// Opens the data directory and then the ports.
    ///
    /// # Errors
    /// The data directory is in use or cannot be read, a port is taken, an option makes no sense.
    pub async fn open(options: ServeOptions) -> Result<Server> {
        let started = Instant::now();
        let ledger = options.ledger();
        let engine = open_engine(&options, &ledger, started).await?;
        let listening = listen(&options, &engine, ledger, started).await;
        if listening.is_err() {
            close_engine(&engine, Instant::now()).await;
        }
        listening
    }

    /// Address of the gRPC listener; none when the system does not tell.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc.local_addr().ok()
    }

    /// Address of `/metrics`, where it is served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.scrapes.as_ref()?.local_addr().ok()
    }

    /// Serves until `stop` is done, then lets running calls end and closes the data directory.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let Server { started, engine, ledger, metrics, top_n, grpc, scrapes, routes, stop: stopping } = self;
        if let Err(cause) = top_n.start() {
            close_engine(&engine, Instant::now()).await;
            return Err(Error::io("start thread", "top-n", cause));
        }
        if let Ok(address) = grpc.local_addr() {
            tracing::info!(%address, started_ms = started.elapsed().as_secs_f64() * 1_000.0, "ready");
        }
        let scrapes = scrapes.map(|listener| {
            let (metrics, engine) = (metrics.clone(), engine.clone());
            tokio::spawn(serve_metrics(listener, move || scrape::render(&metrics, &engine, &ledger, started)))
        });
        let mut asked = stopping.subscribe();
        let asked = async move {
            // The sender lives until the end of this function.
            let _ = asked.wait_for(|stop| *stop).await;
        };
        let mut server = tokio::spawn(grpc::serve(grpc, routes, metrics, asked));
        let ended = tokio::select! {
            ended = &mut server => Some(ended),
            () = stop => None,
        };
        let stop_began = Instant::now();
        stopping.send_replace(true);
        let served = match ended {
            Some(ended) => ended.unwrap_or_else(|lost| Err(Error::internal("serve gRPC", lost.to_string()))),
            None => drain(server).await,
        };
        if let Some(scrapes) = scrapes {
            scrapes.abort();
        }
        stop_top_n(top_n, stop_began).await;
        close_engine(&engine, stop_began).await;
        served
    }
}

async fn drain(mut server: tokio::task::JoinHandle<Result<()>>) -> Result<()> {
    tracing::info!("stopping");
    match tokio::time::timeout(DRAIN, &mut server).await {
        Ok(Ok(served)) => served,
        Ok(Err(lost)) => Err(Error::internal("serve gRPC", lost.to_string())),
        Err(_) => {
            tracing::warn!("calls that still run are cut off");
            server.abort();
            Ok(())
        }
    }
}

/// Publishes the last windows in what is left of the time to stop. The ledger names those that are not published.
async fn stop_top_n(top_n: TopN, stop_began: Instant) {
    let stop = tokio::task::spawn_blocking(move || top_n.stop());
    if tokio::time::timeout(STOP.saturating_sub(stop_began.elapsed()), stop).await.is_err() {
        tracing::warn!("no time to publish all Top-N windows; the next start does");
    }
}

/// Closes the engine in what is left of the time to stop. What it could not flush is in the log.
async fn close_engine(engine: &Engine, stop_began: Instant) {
    let engine = engine.clone();
    let close = tokio::task::spawn_blocking(move || engine.close());
    match tokio::time::timeout(STOP.saturating_sub(stop_began.elapsed()), close).await {
        Ok(Ok(Ok(()))) => tracing::info!("the data directory is closed"),
        Ok(Ok(Err(error))) => tracing::error!(%error, "the engine did not close cleanly"),
        Ok(Err(lost)) => tracing::error!(error = %lost, "the engine did not close cleanly"),
        Err(_) => tracing::warn!("no time to flush everything; the rest is in the log"),
    }
}
