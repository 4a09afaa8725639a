//! Writer, verifier and queries against a small server in memory, honest or not: the generator must find out.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipal_api::measure::v1::data_point::Field;
use pipal_api::measure::v1::measure_service_server::{MeasureService, MeasureServiceServer};
use pipal_api::measure::v1::{
    DataPoint, DataPointSpec, DataPointValue, DeleteExpiredSegmentsRequest, DeleteExpiredSegmentsResponse,
    InternalQueryRequest, InternalQueryResponse, QueryRequest, QueryResponse, TopNRequest, TopNResponse,
    WriteRequest, WriteResponse,
};
use pipal_api::model::v1::{Tag, TagFamily, TagValue, criteria, tag_value};
use tonic::{Request, Response, Status, Streaming};

use crate::connection::Connections;
use crate::ledger::Ledger;
use crate::load::MeasureLoad;
use crate::plan::{Chunking, append_and_rewrite, bucket_by_bucket};
use crate::shape::tests::small_shape;
use crate::verify::verify_all;
use crate::writer::{Writer, WriterOptions};

/// How the server cheats.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    None,
    /// Acknowledges every 50th point without keeping it.
    Forgets,
    /// Keeps the first write of a point, whatever comes later.
    KeepsFirst,
    /// Answers some rows twice.
    Repeats,
    /// Refuses every 50th point.
    Refuses,
}

type Row = (i64, DataPointSpec, DataPointValue);
/// Rows by entity and second.
type Series = BTreeMap<(String, i64), Row>;

struct InMemory {
    lie: Lie,
    /// Per measure.
    rows: Mutex<HashMap<String, Series>>,
}

type Replies<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

fn text(value: &TagValue) -> &str {
    match value.value.as_ref() {
        Some(tag_value::Value::Str(text)) => &text.value,
        _ => "",
    }
}

impl InMemory {
    fn keep(&self, measure: &str, spec: &DataPointSpec, message: &WriteRequest) {
        let Some(point) = &message.data_point else { return };
        let version = message.message_id as i64;
        let entity = text(&point.tag_families[1].tags[0]).to_owned();
        let seconds = point.timestamp.as_ref().map_or(0, |time| time.seconds);
        let mut rows = self.rows.lock().unwrap();
        let row = rows.entry(measure.to_owned()).or_default().entry((entity, seconds));
        let fresh = (version, spec.clone(), point.clone());
        match self.lie {
            Lie::Forgets if version % 50 == 0 => {}
            Lie::KeepsFirst => drop(row.or_insert(fresh)),
            _ => drop(
                row.and_modify(|row| {
                    if version > row.0 {
                        *row = fresh.clone()
                    }
                })
                .or_insert(fresh),
            ),
        }
    }
}

fn answer_row((version, spec, point): &Row) -> DataPoint {
    let family = |(spec, values): (&pipal_api::measure::v1::TagFamilySpec, &Vec<TagValue>)| TagFamily {
        name: spec.name.clone(),
        tags: (spec.tag_names.iter().zip(values))
            .map(|(key, value)| Tag { key: key.clone(), value: Some(value.clone()) })
            .collect(),
    };
    let values = point.tag_families.iter().map(|family| &family.tags);
    DataPoint {
        timestamp: point.timestamp,
        tag_families: spec.tag_family_spec.iter().zip(values).map(family).collect(),
        fields: (spec.field_names.iter().zip(&point.fields))
            .map(|(name, value)| Field { name: name.clone(), value: Some(value.clone()) })
            .collect(),
        sid: 1,
        version: *version,
    }
}

#[tonic::async_trait]
impl MeasureService for InMemory {
    type WriteStream = Replies<WriteResponse>;

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let mut messages = request.into_inner();
        let (mut measure, mut spec, mut replies) = (String::new(), DataPointSpec::default(), Vec::new());
        while let Some(message) = messages.message().await? {
            if let Some(metadata) = &message.metadata {
                measure.clone_from(&metadata.name);
            }
            if let Some(sent) = &message.data_point_spec {
                spec.clone_from(sent);
            }
            let refused = self.lie == Lie::Refuses && message.message_id % 50 == 0;
            if !refused {
                self.keep(&measure, &spec, &message);
            }
            let status = if refused { "STATUS_INTERNAL_ERROR" } else { "STATUS_SUCCEED" };
            replies.push(Ok(WriteResponse {
                message_id: message.message_id,
                status: status.into(),
                ..Default::default()
            }));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(replies))))
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
        let request = request.into_inner();
        let Some(criteria::Exp::Condition(condition)) = request.criteria.and_then(|c| c.exp) else {
            return Err(Status::invalid_argument("one condition expected"));
        };
        let ids = match condition.value.and_then(|v| v.value) {
            Some(tag_value::Value::StrArray(ids)) => ids.value,
            _ => Vec::new(),
        };
        let range = request.time_range.unwrap_or_default();
        let (first, last) = (range.begin.unwrap_or_default().seconds, range.end.unwrap_or_default().seconds);
        let rows = self.rows.lock().unwrap();
        let fits = |(entity, time): &&(String, i64)| ids.contains(entity) && (first..=last).contains(time);
        let found = rows.get(&request.name).into_iter().flatten();
        let mut data_points: Vec<DataPoint> =
            found.filter(|(key, _)| fits(key)).map(|(_, row)| answer_row(row)).collect();
        if self.lie == Lie::Repeats && data_points.len() > 1 {
            data_points.push(data_points[0].clone());
        }
        data_points.truncate(request.limit as usize);
        Ok(Response::new(QueryResponse { data_points, ..Default::default() }))
    }

    async fn internal_query(
        &self,
        _: Request<InternalQueryRequest>,
    ) -> Result<Response<InternalQueryResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn top_n(&self, _: Request<TopNRequest>) -> Result<Response<TopNResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn delete_expired_segments(
        &self,
        _: Request<DeleteExpiredSegmentsRequest>,
    ) -> Result<Response<DeleteExpiredSegmentsResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

async fn serve(lie: Lie) -> Arc<Connections> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = MeasureServiceServer::new(InMemory { lie, rows: Mutex::default() });
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    Arc::new(Connections::open(&address, 1).await.unwrap())
}

const CHUNKING: Chunking = Chunking { points_per_bucket: 60, points_per_stream: 25 };

fn writer(connections: &Arc<Connections>, check_every: u64) -> Arc<Writer<MeasureLoad>> {
    let options = WriterOptions {
        streams: 3,
        points_per_second: None,
        deadline: Duration::from_secs(10),
        check_every,
        stop_on_failure: false,
    };
    let load = MeasureLoad::new(small_shape(3, 20));
    Arc::new(Writer::new(load, Ledger::new(CHUNKING), None, Arc::clone(connections), options))
}

#[tokio::test]
async fn an_honest_server_is_clean_under_rewrites_in_any_order() {
    let connections = serve(Lie::None).await;
    let writer = writer(&connections, 1);
    let totals = writer.run(bucket_by_bucket(CHUNKING, 0..4, 3)).await.unwrap();
    assert!(totals.is_clean(), "{:?}", totals.fault_texts);
    assert_eq!((totals.streams, totals.points_acknowledged, totals.reads_checked), (36, 720, 36));

    // A second plan over the same load: appended buckets and rewritten old ones.
    let totals = writer.run(append_and_rewrite(CHUNKING, 1, 100).take(60)).await.unwrap();
    assert!(totals.is_clean(), "{:?}", totals.fault_texts);
    let ledger = writer.with_ledger(Ledger::clone);
    let verification = verify_all(&connections, &writer.load.shape, &ledger).await.unwrap();
    assert!(verification.is_clean(), "{:?}", verification.texts);
    assert_eq!(verification.expected, ledger.acknowledged_points());
    assert_eq!(verification.rows, verification.expected);
}

#[tokio::test]
async fn every_lie_of_a_server_is_found() {
    for lie in [Lie::Forgets, Lie::KeepsFirst, Lie::Repeats] {
        let connections = serve(lie).await;
        let writer = writer(&connections, 0);
        let totals = writer.run(bucket_by_bucket(CHUNKING, 0..4, 2)).await.unwrap();
        assert!(totals.is_clean(), "{lie:?} shows only in what is read");
        let ledger = writer.with_ledger(Ledger::clone);
        let found = verify_all(&connections, &writer.load.shape, &ledger).await.unwrap();
        match lie {
            // The first of two writes may survive where the second was forgotten.
            Lie::Forgets => assert!(found.lost + found.stale > 0, "{found:?}"),
            Lie::KeepsFirst => assert_eq!((found.stale, found.faults()), (240, 240)),
            _ => assert_eq!((found.duplicated, found.faults()), (3, 3)),
        }
    }
}

#[tokio::test]
async fn refusals_are_faults_and_refused_points_need_not_be_there() {
    let connections = serve(Lie::Refuses).await;
    let writer = writer(&connections, 0);
    let totals = writer.run(bucket_by_bucket(CHUNKING, 0..4, 1)).await.unwrap();
    assert!(!totals.is_clean());
    assert_eq!(totals.bad_replies, totals.points_sent - totals.points_acknowledged);
    let ledger = writer.with_ledger(Ledger::clone);
    let verification = verify_all(&connections, &writer.load.shape, &ledger).await.unwrap();
    assert!(verification.is_clean(), "{:?}", verification.texts);
    assert_eq!(verification.expected, totals.points_acknowledged, "what was answered well must be there");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let error = Connections::open("127.0.0.1:1", 1).await.unwrap_err();
    assert!(error.contains("127.0.0.1:1") && error.contains("pipal serve"), "{error}");
}
