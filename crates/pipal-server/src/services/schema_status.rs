//! Which schemas a node has; between nodes this serves the barrier (server surface 2.9).

use super::{check_keys, revision_of};
use crate::api::cluster::node_schema_status_service_server::NodeSchemaStatusService;
use crate::api::cluster::{
    GetAbsentKeysRequest, GetAbsentKeysResponse, GetKeyRevisionsRequest, GetKeyRevisionsResponse,
    GetMaxRevisionRequest, GetMaxRevisionResponse, KeyRevision,
};
use crate::registry::Registry;
use tonic::{Request, Response, Status};

/// The service over one registry.
pub struct SchemaStatusService(pub Registry);

#[tonic::async_trait]
impl NodeSchemaStatusService for SchemaStatusService {
    async fn get_max_revision(
        &self,
        _request: Request<GetMaxRevisionRequest>,
    ) -> Result<Response<GetMaxRevisionResponse>, Status> {
        let max_mod_revision = *self.0.applied().borrow();
        Ok(Response::new(GetMaxRevisionResponse { max_mod_revision }))
    }

    async fn get_key_revisions(
        &self,
        request: Request<GetKeyRevisionsRequest>,
    ) -> Result<Response<GetKeyRevisionsResponse>, Status> {
        let keys = request.into_inner().keys;
        check_keys(&keys)?;
        let revision = |key| {
            let revision = revision_of(&self.0, &key);
            KeyRevision { key: Some(key), mod_revision: revision.unwrap_or(0), present: revision.is_some() }
        };
        Ok(Response::new(GetKeyRevisionsResponse { revisions: keys.into_iter().map(revision).collect() }))
    }

    async fn get_absent_keys(
        &self,
        request: Request<GetAbsentKeysRequest>,
    ) -> Result<Response<GetAbsentKeysResponse>, Status> {
        let keys = request.into_inner().keys;
        check_keys(&keys)?;
        let (still_present_keys, absent_keys) =
            keys.into_iter().partition(|key| revision_of(&self.0, key).is_some());
        Ok(Response::new(GetAbsentKeysResponse { absent_keys, still_present_keys }))
    }
}
