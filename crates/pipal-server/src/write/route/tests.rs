use super::*;
use crate::api::measure::measure_service_client::MeasureServiceClient;
use crate::api::measure::measure_service_server::MeasureServiceServer;
use crate::api::measure::{InternalQueryRequest, QueryRequest, WriteRequest, WriteResponse};
use crate::guard::Guard;
use crate::measure::MeasureFace;
use crate::measure::testing::{World, everything, measure, point};
use prost::Message;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};

/// Serves a world with measure `m` on a port of its own.
async fn client(message_bytes_max: usize) -> MeasureServiceClient<Channel> {
    let m = measure("m").family("d", &["host:str"]).entity(&["host"]).fields(&["v:int"]).build();
    let world = World::with(vec![m]).await;
    let face = MeasureFace { queries: world.queries.clone(), metrics: world.context.metrics.clone() };
    let routes = WriteRoutes::new(
        Model::Measure,
        MeasureServiceServer::new(face).accept_compressed(CompressionEncoding::Gzip),
        Arc::new(world.context.clone()),
        message_bytes_max,
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Server::builder().add_service(routes).serve_with_incoming(TcpIncoming::from(listener)));
    MeasureServiceClient::connect(format!("http://{address}")).await.unwrap()
}

fn requests() -> Vec<WriteRequest> {
    let message = |id| point(id, id as i64).to("m").tags(&["h"]).fields(&["1"]);
    let messages = [message(1), message(2).at(1, 1), message(3)];
    messages.iter().map(|message| WriteRequest::decode(message.encode()).unwrap()).collect()
}

async fn write(client: &mut MeasureServiceClient<Channel>) -> Vec<Result<WriteResponse, Status>> {
    let replies = client.write(tokio_stream::iter(requests())).await.unwrap().into_inner();
    replies.collect().await
}

#[tokio::test]
async fn writes_and_queries_go_over_one_connection_plain_and_compressed() {
    let plain = client(1 << 20).await;
    for mut client in [plain.clone(), plain.send_compressed(CompressionEncoding::Gzip)] {
        let replies: Vec<_> = write(&mut client).await.into_iter().map(Result::unwrap).collect();
        let shown: Vec<_> = replies.iter().map(|r| (r.message_id, &*r.status)).collect();
        assert_eq!(shown, [(2, "STATUS_INVALID_TIMESTAMP"), (1, "STATUS_SUCCEED"), (3, "STATUS_SUCCEED")]);
        assert_eq!(replies[0].metadata, requests()[1].metadata);
        let refused = client.query(QueryRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let refused = client.internal_query(InternalQueryRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn a_message_beyond_the_maximum_ends_the_stream_behind_the_replies_to_what_came_before() {
    let mut client = client(64).await;
    let mut large = requests().remove(0);
    large.metadata.as_mut().unwrap().name = "n".repeat(100);
    let requests = [requests().remove(0), large];
    let replies: Vec<_> =
        client.write(tokio_stream::iter(requests)).await.unwrap().into_inner().collect().await;
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0].as_ref().unwrap().status, "STATUS_SUCCEED");
    // The guard around all services words the refusal the way that clients know.
    assert_eq!(replies[1].as_ref().unwrap_err().code(), Code::OutOfRange);
}

/// A client that asks and does not read: what h2 may not send yet stays in memory, and is charged as long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_charged_until_the_transport_has_written_it() {
    const TEXT_BYTES: usize = 300 << 10;
    let m = measure("m").family("d", &["host:str", "text:str"]).entity(&["host"]).fields(&["v:int"]).build();
    let world = World::with(vec![m]).await;
    let text = "x".repeat(TEXT_BYTES);
    world.write(vec![point(1, 0).to("m").tags(&["h", &text]).fields(&["1"])]).await;
    let schema = world.registry.measure("g", "m").unwrap().schema.clone();
    let mut body = vec![0; 5];
    everything(&schema).encode(&mut body).unwrap();
    let length = u32::try_from(body.len() - 5).unwrap();
    body[1..5].copy_from_slice(&length.to_be_bytes());

    let memory = world.queries.memory.clone();
    let face = MeasureFace { queries: world.queries.clone(), metrics: world.context.metrics.clone() };
    let routes = WriteRoutes::new(
        Model::Measure,
        MeasureServiceServer::new(face),
        Arc::new(world.context.clone()),
        1 << 20,
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().layer(Guard(world.context.metrics.clone())).add_service(routes);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut channel = endpoint.initial_stream_window_size(16 << 10).connect().await.unwrap();
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let request = http::Request::post("/banyandb.measure.v1.MeasureService/Query")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(http_body_of(body)))
        .unwrap();
    let response = channel.call(request).await.unwrap();

    let mut answer = std::pin::pin!(response.into_body());
    let mut read = 0;
    while read < TEXT_BYTES {
        assert!(memory.used() >= TEXT_BYTES, "{} bytes charged after {read} were read", memory.used());
        let frame =
            std::future::poll_fn(|context| answer.as_mut().poll_frame(context)).await.unwrap().unwrap();
        read += frame.data_ref().unwrap().len();
        if read > TEXT_BYTES - (64 << 10) {
            break;
        }
    }
    while let Some(frame) = std::future::poll_fn(|context| answer.as_mut().poll_frame(context)).await {
        frame.unwrap();
    }
    let given_back = async {
        while memory.used() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), given_back)
        .await
        .expect("the answer stays charged");
}

fn http_body_of(bytes: Vec<u8>) -> impl Body<Data = Bytes, Error = Status> + Send + 'static {
    struct Whole(Option<Bytes>);

    impl Body for Whole {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
        }
    }
    Whole(Some(bytes.into()))
}
