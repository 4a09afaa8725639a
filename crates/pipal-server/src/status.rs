//! The one place where errors of the layers below become gRPC statuses.
//!
//! Every [`ErrorKind`] has exactly one code. The registry has a vocabulary of its own, [`SchemaError`], since
//! clients depend on its texts and on business rules being answered `UNKNOWN` (server surface 2.1).

use pipal_model::{Error, ErrorKind};
use prost::Message;
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

/// For callers that are no clients, such as the start of the process.
impl From<SchemaError> for Error {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Storage(error) => error,
            other => Error::internal("open schema registry", format!("{other:?}")),
        }
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

/// The answer to List without a group, with the detail that clients show (server surface 2.1).
pub fn empty_group() -> Status {
    /// `google.rpc.BadRequest.FieldViolation`.
    #[derive(Clone, PartialEq, prost::Message)]
    struct FieldViolation {
        #[prost(string, tag = "1")]
        field: String,
        #[prost(string, tag = "2")]
        description: String,
    }
    /// `google.rpc.BadRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    struct BadRequest {
        #[prost(message, repeated, tag = "1")]
        field_violations: Vec<FieldViolation>,
    }
    /// `google.rpc.Status`.
    #[derive(Clone, PartialEq, prost::Message)]
    struct RpcStatus {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
        #[prost(message, repeated, tag = "3")]
        details: Vec<prost_types::Any>,
    }
    let message = "banyandb: input is invalid".to_owned();
    let violation =
        FieldViolation { field: "group".to_owned(), description: "group should not be empty".to_owned() };
    let detail = prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.BadRequest".to_owned(),
        value: BadRequest { field_violations: vec![violation] }.encode_to_vec(),
    };
    let code = Code::InvalidArgument;
    let status = RpcStatus { code: code as i32, message: message.clone(), details: vec![detail] };
    Status::with_details(code, message, status.encode_to_vec().into())
}
