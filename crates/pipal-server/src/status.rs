//! The one place where errors of the layers below become gRPC statuses.
//!
//! Every [`ErrorKind`] has exactly one code. The registry has a vocabulary of its own, [`SchemaError`], since
//! clients depend on its texts and on business rules being answered `UNKNOWN` (server surface 2.1).

use pipal_model::{Error, ErrorKind};
use tonic::{Code, Status};

/// The code of a kind of error.
pub fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::ResourceExhausted | ErrorKind::DiskFull => Code::ResourceExhausted,
        ErrorKind::ReadOnly | ErrorKind::Closed => Code::Unavailable,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Io | ErrorKind::Internal => Code::Internal,
    }
}

/// The status of an error. What a client did wrong is told to it in its own words; anything else carries
/// operation and subject, for the operator who reads the client's log.
pub fn status_of(error: &Error) -> Status {
    let text = match error.kind() {
        ErrorKind::InvalidArgument => error.detail().to_owned(),
        _ => error.to_string(),
    };
    Status::new(code_of(error.kind()), text)
}

/// What a call to the schema registry can fail with.
#[derive(Clone, Debug)]
pub enum SchemaError {
    /// The object, or the group that it needs, does not exist.
    NotFound,
    /// An object of that name exists.
    AlreadyExists,
    /// The request is malformed.
    Invalid(String),
    /// A business rule refuses the object, or an update names an object that does not exist.
    Refused(String),
    /// The state of the group does not allow the change.
    Precondition(String),
    /// Internal groups are not for clients to delete.
    Denied(String),
    /// Storage failed.
    Storage(Error),
}

impl From<Error> for SchemaError {
    fn from(error: Error) -> Self {
        SchemaError::Storage(error)
    }
}

impl From<SchemaError> for Status {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::NotFound => Status::not_found("banyandb: resource not found"),
            SchemaError::AlreadyExists => Status::already_exists("banyandb: resource already exists"),
            SchemaError::Invalid(text) => Status::invalid_argument(text),
            SchemaError::Refused(text) => Status::unknown(text),
            SchemaError::Precondition(text) => Status::failed_precondition(text),
            SchemaError::Denied(text) => Status::permission_denied(text),
            SchemaError::Storage(error) => status_of(&error),
        }
    }
}
