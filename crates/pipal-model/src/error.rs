//! One error type for all layers: a kind that decides the status, and the facts that an operator needs.

use std::fmt;
use std::sync::Arc;

/// The result of every fallible function of the workspace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller may act on it. Each face maps a kind to exactly one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The named thing does not exist.
    NotFound,
    /// A thing of that name exists already.
    AlreadyExists,
    /// The request can never succeed as it is.
    InvalidArgument,
    /// The request does not fit the present state, for instance a group that is being deleted.
    FailedPrecondition,
    /// The caller may not do this.
    PermissionDenied,
    /// A named limit or a byte budget is exhausted; a later try may succeed.
    ResourceExhausted,
    /// The disk is full or above its watermark.
    DiskFull,
    /// Writes are refused since a sync failed; reads go on.
    ReadOnly,
    /// Bytes on disk do not match their checksum or their format.
    Corrupt,
    /// The operating system failed an operation.
    Io,
    /// The caller went away or its deadline passed.
    Cancelled,
    /// The database or a table of it is closing.
    Closed,
    /// The operation is not supported for this model or type.
    Unsupported,
    /// A broken invariant of ours: a defect.
    Internal,
}

/// An error with its kind, the operation that failed, what it was about, and its cause.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    subject: String,
    detail: String,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` in `operation` (a verb phrase, such as "open part") with a `detail` for people.
    pub fn new(kind: ErrorKind, operation: &'static str, detail: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, operation, subject: String::new(), detail: detail.into(), cause: None }))
    }

    /// An invalid argument whose text reaches the client as it is.
    pub fn invalid(operation: &'static str, detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::InvalidArgument, operation, detail)
    }

    /// Bytes on disk that are not what they should be.
    pub fn corrupt(operation: &'static str, subject: impl fmt::Display, detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::Corrupt, operation, detail).about(subject)
    }

    /// A broken invariant: a defect of ours that must not take the process down.
    pub fn internal(operation: &'static str, detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, operation, detail)
    }

    /// A failed operation of the operating system on `subject`, usually a path.
    pub fn io(operation: &'static str, subject: impl fmt::Display, cause: std::io::Error) -> Self {
        let kind = match cause.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
            std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            _ => ErrorKind::Io,
        };
        Error::new(kind, operation, cause.to_string()).about(subject).caused_by(cause)
    }

    /// Names the path, key or resource that the error is about.
    #[must_use]
    pub fn about(mut self, subject: impl fmt::Display) -> Self {
        self.0.subject = subject.to_string();
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Arc::new(cause));
        self
    }

    /// The kind, which decides the status.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What the error is about; empty when it needs no name.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The text for people, without operation and subject.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.operation)?;
        if !self.0.subject.is_empty() {
            write!(f, " {}", self.0.subject)?;
        }
        write!(f, ": {}", self.0.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} [{self}]", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}
