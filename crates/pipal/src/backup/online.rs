//! Asks a running server for a snapshot.

use super::BackupArgs;
use pipal_api::database::v1::SnapshotRequest;
use pipal_api::database::v1::snapshot_service_client::SnapshotServiceClient;
use pipal_engine::backup::SNAPSHOTS_DIR;
use pipal_model::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::time::Duration;
use tonic::Request;
use tonic::transport::Endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A snapshot flushes and links; even a large database is done long before.
const CALL_TIMEOUT: Duration = Duration::from_secs(600);
/// The entry of the schemas, which is in every answer, begins like this.
const SCHEMA_PREFIX: &str = "schema-property/";

/// Takes a snapshot; gives its directory.
pub async fn take(args: &BackupArgs) -> Result<PathBuf> {
    let name = ask(args).await?;
    let path = args.data_dir.join(SNAPSHOTS_DIR).join(name);
    if path.is_dir() {
        return Ok(path);
    }
    let detail = "the server took a snapshot, but not there; give its data directory as --data-dir";
    Err(Error::new(ErrorKind::NotFound, "find snapshot", detail).about(path.display()))
}

async fn ask(args: &BackupArgs) -> Result<String> {
    let address = &args.source;
    let no_address =
        || Error::invalid("take snapshot", "it is neither a directory nor HOST:PORT").about(address);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| no_address())?;
    let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT);
    let failed = |detail: String| Error::new(ErrorKind::Io, "take snapshot", detail).about(address);
    let channel = endpoint.connect().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        failed(format!("no server answers there, and it is no directory ({cause})"))
    })?;
    let mut request = Request::new(SnapshotRequest::default());
    for (key, value) in [("username", &args.username), ("password", &args.password)] {
        let Some(value) = value else { continue };
        let value =
            value.parse().map_err(|_| Error::invalid("take snapshot", format!("--{key} is not ASCII")))?;
        request.metadata_mut().insert(key, value);
    }
    let answer = SnapshotServiceClient::new(channel).snapshot(request).await;
    let answer = answer.map_err(|status| failed(format!("{} ({:?})", status.message(), status.code())))?;
    let snapshots = answer.into_inner().snapshots;
    if let Some(entry) = snapshots.iter().find(|entry| !entry.error.is_empty()) {
        return Err(failed(entry.error.clone()));
    }
    let name = snapshots.iter().find_map(|entry| entry.name.strip_prefix(SCHEMA_PREFIX));
    // The name becomes part of a path.
    let name = name.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    name.map(ToOwned::to_owned).ok_or_else(|| failed("the answer names no snapshot".to_owned()))
}
