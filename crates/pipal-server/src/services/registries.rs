//! The registries of everything but groups: seven services, one implementation.

use super::validate;
use crate::api::common::Metadata;
use crate::api::database::*;
use crate::metrics::ServerMetrics;
use crate::registry::{Deleted, Registry, SchemaObject};
use crate::status;
use pipal_api::validate::Validate;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Serves the registries of streams, measures, traces, property schemas, index rules, bindings and Top-N
/// aggregations.
#[derive(Clone)]
pub struct SchemaService {
    registry: Registry,
    metrics: Arc<ServerMetrics>,
}

impl SchemaService {
    /// Services over one registry.
    pub fn new(registry: Registry, metrics: Arc<ServerMetrics>) -> Self {
        SchemaService { registry, metrics }
    }

    async fn create<T: SchemaObject>(&self, service: &str, object: Option<T>) -> Result<i64, Status> {
        let group = group_of(&object);
        let call = async {
            let object = object.ok_or_else(|| missing(service))?;
            Ok(told::<T>(self.registry.create(object).await?))
        };
        self.metrics.registry.observe(&[&group, service, "create"], call).await
    }

    async fn update<T: SchemaObject>(&self, service: &str, object: Option<T>) -> Result<i64, Status> {
        let group = group_of(&object);
        let call = async {
            let object = object.ok_or_else(|| missing(service))?;
            Ok(told::<T>(self.registry.update(object).await?))
        };
        self.metrics.registry.observe(&[&group, service, "update"], call).await
    }

    async fn delete<T: SchemaObject>(
        &self,
        service: &str,
        name: Option<Metadata>,
    ) -> Result<Deleted, Status> {
        let name = name.unwrap_or_default();
        let call = async {
            named(&name)?;
            Ok(self.registry.delete::<T>(&name.group, &name.name).await?)
        };
        self.metrics.registry.observe(&[&name.group, service, "delete"], call).await
    }

    async fn get<T: SchemaObject>(&self, service: &str, name: Option<Metadata>) -> Result<T, Status> {
        let name = name.unwrap_or_default();
        let call = async {
            named(&name)?;
            let object = self.registry.get::<T>(&name.group, &name.name);
            Ok(T::clone(&*object.ok_or(status::SchemaError::NotFound)?))
        };
        self.metrics.registry.observe(&[&name.group, service, "get"], call).await
    }

    async fn list<T: SchemaObject>(&self, service: &str, group: String) -> Result<Vec<T>, Status> {
        let call = async {
            if group.is_empty() {
                return Err(status::empty_group());
            }
            Ok(self.registry.list::<T>(&group).iter().map(|object| T::clone(object)).collect())
        };
        self.metrics.registry.observe(&[&group, service, "list"], call).await
    }

    /// Whether the group, and whether the object exists. An object counts for its group (server surface 2.3).
    async fn exist<T: SchemaObject>(
        &self,
        service: &str,
        name: Option<Metadata>,
    ) -> Result<(bool, bool), Status> {
        let name = name.unwrap_or_default();
        let call = async {
            named(&name)?;
            let exists = self.registry.get::<T>(&name.group, &name.name).is_some();
            Ok((exists || self.registry.group(&name.group).is_some(), exists))
        };
        self.metrics.registry.observe(&[&name.group, service, "exist"], call).await
    }
}

/// The revision as the answer to a change tells it: those of property schemas tell none (property specification, 1.2).
fn told<T: SchemaObject>(revision: i64) -> i64 {
    if T::TELLS_REVISION { revision } else { 0 }
}

fn group_of<T: SchemaObject>(object: &Option<T>) -> String {
    object.as_ref().map_or("", |object| object.group()).to_owned()
}

fn missing(service: &str) -> Status {
    Status::invalid_argument(format!("{service} is required"))
}

fn named(name: &Metadata) -> Result<(), Status> {
    match name.name.is_empty() {
        true => Err(Status::invalid_argument("metadata.name is required")),
        false => Ok(()),
    }
}

/// Checks the field rules of a request and takes it out of its envelope.
fn valid<T: Validate>(request: Request<T>) -> Result<T, Status> {
    let request = request.into_inner();
    validate(&request)?;
    Ok(request)
}

/// Implements the service trait of one kind: the trait, the label in metrics, the object, the fields that carry it
/// in requests and in the replies of List and Exist, and the messages of the six calls.
macro_rules! registry_service {
    (
        $module:ident::$trait:ident, $label:literal, $object:ty, $field:ident, $list:ident, $has:ident,
        $create:ident -> $created:ident, $update:ident -> $updated:ident, $delete:ident -> $deleted:ident,
        $get:ident -> $got:ident, $lists:ident -> $listed:ident, $exist:ident -> $existed:ident
    ) => {
        #[tonic::async_trait]
        impl $module::$trait for SchemaService {
            async fn create(&self, request: Request<$create>) -> Result<Response<$created>, Status> {
                let mod_revision = SchemaService::create(self, $label, valid(request)?.$field).await?;
                Ok(Response::new($created { mod_revision }))
            }

            async fn update(&self, request: Request<$update>) -> Result<Response<$updated>, Status> {
                let mod_revision = SchemaService::update(self, $label, valid(request)?.$field).await?;
                Ok(Response::new($updated { mod_revision }))
            }

            async fn delete(&self, request: Request<$delete>) -> Result<Response<$deleted>, Status> {
                let metadata = valid(request)?.metadata;
                let Deleted { deleted, time } =
                    SchemaService::delete::<$object>(self, $label, metadata).await?;
                Ok(Response::new($deleted { deleted, delete_time: time, mod_revision: 0 }))
            }

            async fn get(&self, request: Request<$get>) -> Result<Response<$got>, Status> {
                let object = SchemaService::get::<$object>(self, $label, valid(request)?.metadata).await?;
                Ok(Response::new($got { $field: Some(object) }))
            }

            async fn list(&self, request: Request<$lists>) -> Result<Response<$listed>, Status> {
                let objects = SchemaService::list::<$object>(self, $label, valid(request)?.group).await?;
                Ok(Response::new($listed { $list: objects }))
            }

            async fn exist(&self, request: Request<$exist>) -> Result<Response<$existed>, Status> {
                let metadata = valid(request)?.metadata;
                let (has_group, exists) = SchemaService::exist::<$object>(self, $label, metadata).await?;
                Ok(Response::new($existed { has_group, $has: exists }))
            }
        }
    };
}

registry_service!(
    stream_registry_service_server::StreamRegistryService, "stream", Stream, stream, stream, has_stream,
    StreamRegistryServiceCreateRequest -> StreamRegistryServiceCreateResponse,
    StreamRegistryServiceUpdateRequest -> StreamRegistryServiceUpdateResponse,
    StreamRegistryServiceDeleteRequest -> StreamRegistryServiceDeleteResponse,
    StreamRegistryServiceGetRequest -> StreamRegistryServiceGetResponse,
    StreamRegistryServiceListRequest -> StreamRegistryServiceListResponse,
    StreamRegistryServiceExistRequest -> StreamRegistryServiceExistResponse
);

registry_service!(
    measure_registry_service_server::MeasureRegistryService, "measure", Measure, measure, measure, has_measure,
    MeasureRegistryServiceCreateRequest -> MeasureRegistryServiceCreateResponse,
    MeasureRegistryServiceUpdateRequest -> MeasureRegistryServiceUpdateResponse,
    MeasureRegistryServiceDeleteRequest -> MeasureRegistryServiceDeleteResponse,
    MeasureRegistryServiceGetRequest -> MeasureRegistryServiceGetResponse,
    MeasureRegistryServiceListRequest -> MeasureRegistryServiceListResponse,
    MeasureRegistryServiceExistRequest -> MeasureRegistryServiceExistResponse
);

registry_service!(
    trace_registry_service_server::TraceRegistryService, "trace", Trace, trace, trace, has_trace,
    TraceRegistryServiceCreateRequest -> TraceRegistryServiceCreateResponse,
    TraceRegistryServiceUpdateRequest -> TraceRegistryServiceUpdateResponse,
    TraceRegistryServiceDeleteRequest -> TraceRegistryServiceDeleteResponse,
    TraceRegistryServiceGetRequest -> TraceRegistryServiceGetResponse,
    TraceRegistryServiceListRequest -> TraceRegistryServiceListResponse,
    TraceRegistryServiceExistRequest -> TraceRegistryServiceExistResponse
);

registry_service!(
    property_registry_service_server::PropertyRegistryService, "property", Property, property, properties,
    has_property,
    PropertyRegistryServiceCreateRequest -> PropertyRegistryServiceCreateResponse,
    PropertyRegistryServiceUpdateRequest -> PropertyRegistryServiceUpdateResponse,
    PropertyRegistryServiceDeleteRequest -> PropertyRegistryServiceDeleteResponse,
    PropertyRegistryServiceGetRequest -> PropertyRegistryServiceGetResponse,
    PropertyRegistryServiceListRequest -> PropertyRegistryServiceListResponse,
    PropertyRegistryServiceExistRequest -> PropertyRegistryServiceExistResponse
);

registry_service!(
    index_rule_registry_service_server::IndexRuleRegistryService, "indexRule", IndexRule, index_rule, index_rule,
    has_index_rule,
    IndexRuleRegistryServiceCreateRequest -> IndexRuleRegistryServiceCreateResponse,
    IndexRuleRegistryServiceUpdateRequest -> IndexRuleRegistryServiceUpdateResponse,
    IndexRuleRegistryServiceDeleteRequest -> IndexRuleRegistryServiceDeleteResponse,
    IndexRuleRegistryServiceGetRequest -> IndexRuleRegistryServiceGetResponse,
    IndexRuleRegistryServiceListRequest -> IndexRuleRegistryServiceListResponse,
    IndexRuleRegistryServiceExistRequest -> IndexRuleRegistryServiceExistResponse
);

registry_service!(
    index_rule_binding_registry_service_server::IndexRuleBindingRegistryService, "indexRuleBinding",
    IndexRuleBinding, index_rule_binding, index_rule_binding, has_index_rule_binding,
    IndexRuleBindingRegistryServiceCreateRequest -> IndexRuleBindingRegistryServiceCreateResponse,
    IndexRuleBindingRegistryServiceUpdateRequest -> IndexRuleBindingRegistryServiceUpdateResponse,
    IndexRuleBindingRegistryServiceDeleteRequest -> IndexRuleBindingRegistryServiceDeleteResponse,
    IndexRuleBindingRegistryServiceGetRequest -> IndexRuleBindingRegistryServiceGetResponse,
    IndexRuleBindingRegistryServiceListRequest -> IndexRuleBindingRegistryServiceListResponse,
    IndexRuleBindingRegistryServiceExistRequest -> IndexRuleBindingRegistryServiceExistResponse
);

registry_service!(
    top_n_aggregation_registry_service_server::TopNAggregationRegistryService, "topn_aggregation",
    TopNAggregation, top_n_aggregation, top_n_aggregation, has_top_n_aggregation,
    TopNAggregationRegistryServiceCreateRequest -> TopNAggregationRegistryServiceCreateResponse,
    TopNAggregationRegistryServiceUpdateRequest -> TopNAggregationRegistryServiceUpdateResponse,
    TopNAggregationRegistryServiceDeleteRequest -> TopNAggregationRegistryServiceDeleteResponse,
    TopNAggregationRegistryServiceGetRequest -> TopNAggregationRegistryServiceGetResponse,
    TopNAggregationRegistryServiceListRequest -> TopNAggregationRegistryServiceListResponse,
    TopNAggregationRegistryServiceExistRequest -> TopNAggregationRegistryServiceExistResponse
);
