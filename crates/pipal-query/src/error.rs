//! Why a query failed, with the texts that clients of the protocol match on.

use pipal_model::{Error, ErrorKind};
use std::fmt;

/// The result of every fallible function here.
pub type QueryResult<T> = Result<T, QueryError>;

/// A failed query.
#[derive(Clone, Debug)]
pub enum QueryError {
    /// The query cannot be analysed or executed as it is. The face answers gRPC `UNKNOWN` with [`fmt::Display`]'s
    /// text (measure specification, 3.1).
    Invalid(String),
    /// The engine or a limit stopped it; the face maps the kind as everywhere else.
    Engine(Error),
}

impl QueryError {
    /// A query that cannot be executed, with the detail that clients see.
    pub fn invalid(detail: impl Into<String>) -> Self {
        QueryError::Invalid(detail.into())
    }

    /// A named limit of one query is exhausted.
    pub fn exhausted(detail: impl Into<String>) -> Self {
        QueryError::Engine(Error::new(ErrorKind::ResourceExhausted, "query", detail))
    }

    /// The kind for metrics and statuses; an invalid query counts as an invalid argument.
    pub fn kind(&self) -> ErrorKind {
        match self {
            QueryError::Invalid(_) => ErrorKind::InvalidArgument,
            QueryError::Engine(error) => error.kind(),
        }
    }
}

impl From<Error> for QueryError {
    fn from(error: Error) -> Self {
        QueryError::Engine(error)
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::Invalid(detail) => {
                write!(f, "code: STATUS_INTERNAL_ERROR, msg: {detail}: invalid query message")
            }
            QueryError::Engine(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for QueryError {}
