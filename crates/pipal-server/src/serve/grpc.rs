//! The gRPC server: all services behind one listener, and its limits.

use crate::api::cluster::node_schema_status_service_server::NodeSchemaStatusServiceServer;
use crate::api::common::service_server::ServiceServer;
use crate::api::database::cluster_state_service_server::ClusterStateServiceServer;
use crate::api::database::group_registry_service_server::GroupRegistryServiceServer;
use crate::api::database::index_rule_binding_registry_service_server::IndexRuleBindingRegistryServiceServer;
use crate::api::database::index_rule_registry_service_server::IndexRuleRegistryServiceServer;
use crate::api::database::measure_registry_service_server::MeasureRegistryServiceServer;
use crate::api::database::node_query_service_server::NodeQueryServiceServer;
use crate::api::database::property_registry_service_server::PropertyRegistryServiceServer;
use crate::api::database::snapshot_service_server::SnapshotServiceServer;
use crate::api::database::stream_registry_service_server::StreamRegistryServiceServer;
use crate::api::database::top_n_aggregation_registry_service_server::TopNAggregationRegistryServiceServer;
use crate::api::database::trace_registry_service_server::TraceRegistryServiceServer;
use crate::api::measure::measure_service_server::MeasureServiceServer;
use crate::api::property::property_service_server::PropertyServiceServer;
use crate::api::schema::schema_barrier_service_server::SchemaBarrierServiceServer;
use crate::api::stream::stream_service_server::StreamServiceServer;
use crate::api::trace::trace_service_server::TraceServiceServer;
use crate::guard::Guard;
use crate::measure::MeasureFace;
use crate::metrics::ServerMetrics;
use crate::property::{PropertyChanges, PropertyFace, PropertyQueries};
use crate::queries::Queries;
use crate::registry::Registry;
use crate::services::{
    BarrierService, GroupService, HealthServer, HealthService, NodeIdentity, NodeService, SchemaService,
    SchemaStatusService, SnapshotService,
};
use crate::stream::StreamFace;
use crate::trace::TraceFace;
use crate::write::{WriteContext, WriteRoutes};
use pipal_api::write::Model;
use pipal_model::{Error, Result};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Most calls at one time on one connection.
const MAX_CONCURRENT_STREAMS: u32 = 1_024;
/// What a client may send on one stream before the server reads on; a message of 10,000 rows fits.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// What a client may send on all streams of a connection before the server reads on.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// A silent connection is probed after this time, so that one whose client vanished is noticed.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Calls that a client may have given up before the server has taken them; beyond it the connection is closed.
const PENDING_RESETS_MAX: usize = 1_024;
/// Longest list of request headers.
const HEADER_LIST_BYTES_MAX: u32 = 64 << 10;

/// What the services share.
pub struct Shared {
    /// Schemas.
    pub registry: Registry,
    /// Counters.
    pub metrics: Arc<ServerMetrics>,
    /// The node.
    pub identity: Arc<NodeIdentity>,
    /// The version that clients compare.
    pub api_version: String,
    /// Largest message that a client may send.
    pub message_bytes_max: usize,
    /// Becomes true when the server stops.
    pub stopping: watch::Receiver<bool>,
    /// Queries of all models.
    pub queries: Queries,
    /// Write streams of all models.
    pub writes: Arc<WriteContext>,
    /// Queries of properties.
    pub property_queries: PropertyQueries,
    /// Changes of properties.
    pub property_changes: PropertyChanges,
    /// Backup snapshots.
    pub snapshots: SnapshotService,
}

/// All services. What is not registered answers `UNIMPLEMENTED`.
///
/// # Errors
/// The descriptors of the wire contract cannot be read; that would be a defect of the build.
pub fn routes(shared: &Shared) -> Result<RoutesBuilder> {
    let mut routes = Routes::builder();
    macro_rules! add {
        ($server:ident, $service:expr) => {
            routes.add_service(
                $server::new($service)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .max_decoding_message_size(shared.message_bytes_max),
            )
        };
    }
    let schemas = SchemaService::new(shared.registry.clone(), shared.metrics.clone());
    add!(StreamRegistryServiceServer, schemas.clone());
    add!(MeasureRegistryServiceServer, schemas.clone());
    add!(TraceRegistryServiceServer, schemas.clone());
    add!(PropertyRegistryServiceServer, schemas.clone());
    add!(IndexRuleRegistryServiceServer, schemas.clone());
    add!(IndexRuleBindingRegistryServiceServer, schemas.clone());
    add!(TopNAggregationRegistryServiceServer, schemas);
    let groups = GroupService::new(shared.registry.clone(), shared.identity.clone(), shared.metrics.clone());
    add!(GroupRegistryServiceServer, groups);
    let barrier = BarrierService::new(shared.registry.clone(), &shared.identity.name);
    add!(SchemaBarrierServiceServer, barrier);
    add!(NodeSchemaStatusServiceServer, SchemaStatusService(shared.registry.clone()));
    let node = NodeService::new(shared.identity.clone(), &shared.api_version);
    add!(ServiceServer, node.clone());
    add!(NodeQueryServiceServer, node.clone());
    add!(ClusterStateServiceServer, node);
    macro_rules! add_model {
        ($model:ident, $server:ident, $face:ident) => {{
            let face = $face { queries: shared.queries.clone(), metrics: shared.metrics.clone() };
            let generated = $server::new(face)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(shared.message_bytes_max);
            let writes = shared.writes.clone();
            routes.add_service(WriteRoutes::new(Model::$model, generated, writes, shared.message_bytes_max));
        }};
    }
    add_model!(Measure, MeasureServiceServer, MeasureFace);
    add_model!(Stream, StreamServiceServer, StreamFace);
    add_model!(Trace, TraceServiceServer, TraceFace);
    add!(PropertyServiceServer, property_face(shared));
    add!(SnapshotServiceServer, shared.snapshots.clone());
    routes.add_service(HealthServer(HealthService::new(shared.stopping.clone())));
    add_reflection(&mut routes)?;
    Ok(routes)
}

fn property_face(shared: &Shared) -> PropertyFace {
    PropertyFace {
        queries: shared.property_queries.clone(),
        changes: shared.property_changes.clone(),
        metrics: shared.metrics.clone(),
    }
}

fn add_reflection(routes: &mut RoutesBuilder) -> Result<()> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pipal_api::FILE_DESCRIPTOR_SET)
    };
    let unreadable =
        |error: tonic_reflection::server::Error| Error::internal("serve reflection", error.to_string());
    routes.add_service(builder().build_v1().map_err(unreadable)?);
    routes.add_service(builder().build_v1alpha().map_err(unreadable)?);
    Ok(())
}

/// Serves until `stop` is done, then takes no new connections or calls and returns when the running ones are over.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    metrics: Arc<ServerMetrics>,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(TCP_KEEPALIVE));
    Server::builder()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .layer(Guard(metrics))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop)
        .await
        .map_err(|error| Error::new(pipal_model::ErrorKind::Io, "serve gRPC", error.to_string()))
}
