//! What one load engine needs to know about a load: how its messages are encoded, and how one of them is read back.

use std::ops::Range;
use std::sync::Mutex;

use crate::batch::{Batch, WriteHeader, encode_points};
use crate::connection::Connections;
use crate::ledger::{Acknowledged, Ledger, lock};
use crate::plan::WorkItem;
use crate::random::mix;
use crate::read::{read_rows, rows_request};
use crate::shape::Shape;
use crate::verify::judge_row;

/// A load that the writer can send. A point is one message: a data point, a log row or a span.
#[tonic::async_trait]
pub trait Load: Send + Sync + 'static {
    /// Encodes the points of a bucket, ids from `first_id` on.
    fn encode(&self, item: WorkItem, points: Range<u64>, first_id: u64) -> Batch;

    /// Told before a stream is sent.
    fn sent(&self, _item: WorkItem) {}

    /// Told when a stream has ended.
    fn acknowledged(&self, _item: WorkItem, _which: &Acknowledged) {}

    /// Reads one point of a stream that was just acknowledged, chosen by `draw`: it must be there, once, with this or a
    /// later write.
    async fn read_back(
        &self,
        connections: &Connections,
        ledger: &Mutex<Ledger>,
        item: WorkItem,
        draw: u64,
    ) -> Result<(), String>;
}

/// Load M.
#[derive(Debug)]
pub struct MeasureLoad {
    pub shape: Shape,
    headers: Vec<WriteHeader>,
}

impl MeasureLoad {
    /// Encodes the headers of the shape's measures.
    pub fn new(shape: Shape) -> Self {
        let headers =
            (0..shape.options.measures).map(|measure| WriteHeader::of_shape(&shape, measure)).collect();
        MeasureLoad { shape, headers }
    }
}

#[tonic::async_trait]
impl Load for MeasureLoad {
    fn encode(&self, item: WorkItem, points: Range<u64>, first_id: u64) -> Batch {
        encode_points(&self.shape, &self.headers, points, item.bucket, item.pass, first_id)
    }

    async fn read_back(
        &self,
        connections: &Connections,
        ledger: &Mutex<Ledger>,
        item: WorkItem,
        draw: u64,
    ) -> Result<(), String> {
        let points = lock(ledger).chunking.points(item.chunk);
        let count = (points.end - points.start).max(1);
        let (measure, entity) = self.shape.point(points.start + mix(self.shape.options.seed, draw) % count);
        let request = rows_request(&self.shape, measure, [entity], item.bucket..=item.bucket, 10);
        let rows = read_rows(connections.take()?, &request).await?;
        let [row] = rows.as_slice() else {
            return Err(format!("{} rows instead of 1 for {request:?}", rows.len()));
        };
        let judged = judge_row(&self.shape, &lock(ledger), measure, entity, row);
        judged.map(|_| ()).map_err(|fault| format!("{fault:?}: {row:?}"))
    }
}
