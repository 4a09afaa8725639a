//! The connection of the demo: every call with the user's name, every status as a sentence.

use std::error::Error as _;
use std::time::Duration;

use pipal_api::common::v1::GetApiVersionRequest;
use pipal_api::common::v1::service_client::ServiceClient;
use pipal_api::measure::v1::measure_service_client::MeasureServiceClient;
use pipal_api::measure::v1::{QueryRequest, QueryResponse, WriteRequest};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::{DemoError, DemoOptions};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
const SUCCEED: &str = "STATUS_SUCCEED";

/// User name and password.
type Credentials = (MetadataValue<Ascii>, MetadataValue<Ascii>);

/// An open connection.
pub struct Session {
    channel: Channel,
    credentials: Option<Credentials>,
}

impl Session {
    /// Connects.
    pub async fn open(options: &DemoOptions) -> Result<Self, DemoError> {
        let address = &options.addr;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| {
            DemoError::with_advice(format!("{address:?} is no address"), "Write it as HOST:PORT.")
        })?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT).tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|error| {
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            DemoError::with_advice(
                format!("no server answers at {address} ({cause})"),
                "Start one in another terminal:  pipal serve\n\
                 or name another address:        pipal demo --addr HOST:PORT",
            )
        })?;
        Ok(Session { channel, credentials: credentials(options)? })
    }

    /// The connection, for the services that need no other call here.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A request with the user's name and password.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some((username, password)) = &self.credentials {
            request.metadata_mut().insert("username", username.clone());
            request.metadata_mut().insert("password", password.clone());
        }
        request
    }

    /// The version of the API that the server speaks.
    pub async fn api_version(&self) -> Result<String, DemoError> {
        let request = self.request(GetApiVersionRequest {});
        let answer = ServiceClient::new(self.channel()).get_api_version(request).await;
        let answer = answer.map_err(|status| explain("ask for the version", &status))?.into_inner();
        Ok(answer.version.map_or_else(|| "unknown".to_owned(), |version| version.version))
    }

    /// Writes all points in one stream; gives their number, all acknowledged.
    pub async fn write(&self, messages: Vec<WriteRequest>) -> Result<usize, DemoError> {
        let sent = messages.len();
        let request = self.request(tokio_stream::iter(messages));
        let replies = MeasureServiceClient::new(self.channel()).write(request).await;
        let mut replies = replies.map_err(|status| explain("write", &status))?.into_inner();
        let mut acknowledged = 0;
        while let Some(reply) = replies.message().await.map_err(|status| explain("write", &status))? {
            if reply.status != SUCCEED {
                return Err(DemoError::new(format!("the server refused a point: {}", reply.status)));
            }
            acknowledged += 1;
        }
        if acknowledged != sent {
            return Err(DemoError::new(format!("the server acknowledged {acknowledged} of {sent} points")));
        }
        Ok(sent)
    }

    /// Asks one question.
    pub async fn query(&self, query: QueryRequest) -> Result<QueryResponse, DemoError> {
        let answer = MeasureServiceClient::new(self.channel()).query(self.request(query)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| explain("query", &status))
    }
}

fn credentials(options: &DemoOptions) -> Result<Option<Credentials>, DemoError> {
    let (Some(username), Some(password)) = (&options.username, &options.password) else { return Ok(None) };
    let ascii = |what: &str, text: &str| {
        MetadataValue::try_from(text)
            .map_err(|_| DemoError::new(format!("the {what} holds characters beyond ASCII")))
    };
    Ok(Some((ascii("user name", username)?, ascii("password", password)?)))
}

/// A failed call as a sentence.
pub fn explain(what: &str, status: &Status) -> DemoError {
    let problem = format!("cannot {what}: {} ({:?})", status.message(), status.code());
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            DemoError::with_advice(problem, "Pass --username and --password of a user of the server.")
        }
        Code::Unavailable => DemoError::with_advice(problem, "Is the server still running?"),
        Code::Unimplemented => {
            DemoError::with_advice(problem, "Something else than Pipal answers at this address.")
        }
        _ => DemoError::new(problem),
    }
}
