use super::*;
use crate::api::measure::measure_service_client::MeasureServiceClient;
use crate::api::measure::measure_service_server::MeasureServiceServer;
use crate::api::measure::{InternalQueryRequest, QueryRequest, WriteRequest, WriteResponse};
use crate::measure::MeasureFace;
use crate::measure::testing::{World, measure, point};
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
