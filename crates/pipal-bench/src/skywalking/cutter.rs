//! Cuts the endless flow of points into streams of the client's batch size.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use crate::batch::{Batch, BatchBuilder, WriteHeader};
use crate::message_ids::MessageIds;
use crate::skywalking::tracker::{Sample, SampleKey};

/// A batch with the points in it that are followed up to the end.
#[derive(Debug)]
pub struct TrackedBatch {
    pub batch: Batch,
    pub samples: Vec<(SampleKey, Sample)>,
}

/// Collects points and hands over a batch whenever one is full. Message ids are taken in the order of the points.
pub struct Cutter {
    ids: Arc<MessageIds>,
    points_per_stream: usize,
    batches: Sender<TrackedBatch>,
    builder: BatchBuilder,
    samples: Vec<(SampleKey, Sample)>,
    next_id: u64,
    /// Number of the header that is in force within the batch.
    header: Option<usize>,
}

impl Cutter {
    /// A cutter that sends its batches to `batches`.
    pub fn new(ids: Arc<MessageIds>, points_per_stream: usize, batches: Sender<TrackedBatch>) -> Self {
        let next_id = ids.reserve(points_per_stream as u64);
        let builder = BatchBuilder::new(next_id, points_per_stream);
        Cutter { ids, points_per_stream, batches, builder, samples: Vec::new(), next_id, header: None }
    }

    /// Appends one point of the measure with header number `number`; gives its message id. Call [`Cutter::flush_full`]
    /// after each point.
    pub fn push(
        &mut self,
        (number, header): (usize, &WriteHeader),
        time_ms: i64,
        tags: &[u8],
        put_fields: impl FnOnce(&mut Vec<u8>),
    ) -> u64 {
        let changed = self.header != Some(number);
        self.header = Some(number);
        self.builder.push(changed.then_some(header), time_ms, tags, put_fields);
        self.next_id += 1;
        self.next_id - 1
    }

    /// Follows a point of the current batch.
    pub fn track(&mut self, key: SampleKey, sample: Sample) {
        self.samples.push((key, sample));
    }

    /// Hands over the batch if it is full.
    pub async fn flush_full(&mut self) -> Result<(), String> {
        if self.builder.len() >= self.points_per_stream { self.flush().await } else { Ok(()) }
    }

    /// Hands over what there is.
    pub async fn flush(&mut self) -> Result<(), String> {
        if self.builder.len() == 0 {
            return Ok(());
        }
        self.next_id = self.ids.reserve(self.points_per_stream as u64);
        let empty = BatchBuilder::new(self.next_id, self.points_per_stream);
        let batch = std::mem::replace(&mut self.builder, empty).finish();
        self.header = None;
        let tracked = TrackedBatch { batch, samples: std::mem::take(&mut self.samples) };
        self.batches.send(tracked).await.map_err(|_| "all senders have ended".to_owned())
    }
}
