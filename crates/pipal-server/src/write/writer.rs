//! The state of one write stream, and its decision about each message (measure specification 2.2 to 2.6).

use super::codec::Reply;
use super::row::{RowFault, RowParts, RowScratch};
use super::schemas::StreamSchemas;
use super::sink::RowSink;
use crate::admission::gate::{Standing, standing};
use crate::admission::time::time_of;
use crate::metrics::{Counter, ServerMetrics};
use crate::registry::{CompiledResource, Registry};
use crate::top_n::{Sealed, Tap, TopN};
use bytes::Bytes;
use pipal_api::model::v1::Status as WriteStatus;
use pipal_api::write::{Model, Slot, WriteSlots, WriteView};
use pipal_engine::{GroupId, Route, Row, SegmentBounds, TableKey, WriteBatch};
use pipal_model::series::{element_id, new_element_id};
use pipal_model::{MemoryPool, Reservation};
use prost_types::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// What an accepted message costs besides its row, in bytes: its id, its target and the row's place in the batch.
const ACCEPTED_BYTES: usize = 64;

/// A time that no message may have; stands for none.
const NO_TIME: Timestamp = Timestamp { seconds: 0, nanos: 1 };

/// What all write streams share.
#[derive(Clone)]
pub struct WriteContext {
    /// Schemas.
    pub registry: Registry,
    /// Takes the rows.
    pub sink: Arc<dyn RowSink>,
    /// Bytes of all open streams.
    pub memory: Arc<MemoryPool>,
    /// Most bytes of one stream.
    pub stream_bytes_max: usize,
    /// How long a message waits for a schema that the client knows already; zero is not at all.
    pub schema_wait: Duration,
    /// What became of the messages.
    pub metrics: Arc<ServerMetrics>,
    /// Ranks rows of measures with Top-N aggregations.
    pub top_n: TopN,
}

/// What becomes of a message.
pub enum Verdict {
    /// Its row is part of the batch.
    Accepted,
    /// It is answered at once; the stream goes on.
    Refused(Reply),
    /// Its schema is not there yet; it is to be offered again a little later.
    Wait,
    /// The stream ends with this status.
    Broken(Status),
}

/// Whether a message may be told to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It may.
    Left,
    /// It has waited long enough.
    Over,
}

/// Why a message is not accepted.
enum Stop {
    Refuse(WriteStatus),
    Wait,
    Break(Status),
}

/// Decides about the messages of one stream and gathers their rows.
pub struct StreamWriter {
    model: Model,
    context: Arc<WriteContext>,
    schemas: StreamSchemas,
    batch: WriteBatch,
    tap: Tap,
    accepted: Vec<(u64, usize)>,
    slots: WriteSlots<'static>,
    scratch: RowScratch,
    reservation: Reservation,
    row_bytes: usize,
    /// Messages that were handed out to be answered.
    handed_out: usize,
}

impl StreamWriter {
    /// A writer without messages.
    pub fn new(context: Arc<WriteContext>, model: Model) -> Self {
        StreamWriter {
            model,
            reservation: Reservation::new(&context.memory, context.stream_bytes_max),
            context,
            schemas: StreamSchemas::new(model),
            batch: WriteBatch::new(),
            tap: Tap::default(),
            accepted: Vec::new(),
            slots: WriteSlots::default(),
            scratch: RowScratch::default(),
            row_bytes: 0,
            handed_out: 0,
        }
    }

    /// The model whose messages it takes.
    pub fn model(&self) -> Model {
        self.model
    }

    /// What all streams share.
    pub fn context(&self) -> &Arc<WriteContext> {
        &self.context
    }

    /// Decides about one encoded `WriteRequest`.
    pub fn take(&mut self, message: &[u8], patience: Patience) -> Verdict {
        let mut spare = Vec::new();
        let mut slots = std::mem::take(&mut self.slots).recycle();
        let verdict = match WriteView::parse(self.model, message, &mut spare, &mut slots) {
            Ok(view) => {
                self.name_element(&view, &mut slots);
                self.verdict(&view, &slots, message.len(), patience)
            }
            Err(error) => {
                Verdict::Broken(Status::internal(format!("grpc: error unmarshalling request: {error}")))
            }
        };
        self.slots = slots.recycle();
        verdict
    }

    /// The id of an element becomes its only field, hashed with group and name.
    fn name_element(&mut self, view: &WriteView<'_>, slots: &mut WriteSlots<'_>) {
        if self.model != Model::Stream {
            return;
        }
        let named = match (&view.metadata, self.schemas.target()) {
            (Some(metadata), _) => (metadata.group, metadata.name),
            (None, Some((_, target))) => (target.group.as_str(), target.name.as_str()),
            (None, None) => return,
        };
        let id = match view.value.map_or("", |element| element.element_id) {
            "" => new_element_id(named.0, named.1),
            id => element_id(named.0, named.1, id),
        };
        slots.set_field(Slot::Int(id as i64));
    }

    fn verdict(
        &mut self,
        view: &WriteView<'_>,
        slots: &WriteSlots<'_>,
        bytes: usize,
        patience: Patience,
    ) -> Verdict {
        match self.decide(view, slots, bytes, patience) {
            Ok(target) => {
                self.accepted.push((view.message_id, target));
                self.count_received();
                Verdict::Accepted
            }
            Err(Stop::Refuse(status)) => Verdict::Refused(self.refusal(view.message_id, status)),
            Err(Stop::Wait) => Verdict::Wait,
            Err(Stop::Break(status)) => Verdict::Broken(status),
        }
    }

    fn count_received(&self) {
        if let Some((_, target)) = self.schemas.target() {
            target.counters.received.add(1);
        }
    }

    fn refusal(&self, message_id: u64, status: WriteStatus) -> Reply {
        self.count_received();
        let metadata = self.schemas.target().map_or(Bytes::new(), |(_, target)| {
            target.counters.refused.add(1);
            target.counters.sent.add(1);
            target.encoded.clone()
        });
        Reply { message_id, status: status.as_str_name(), metadata }
    }

    /// Hands out what was gathered; the writer is empty afterwards.
    pub fn finish(&mut self) -> (WriteBatch, Accepted, Sealed) {
        let messages = std::mem::take(&mut self.accepted);
        self.handed_out = messages.len();
        let accepted = Accepted { messages: messages.into_iter(), targets: self.schemas.echoes() };
        let mut batch = std::mem::take(&mut self.batch);
        let tapped = self.tap.seal(&self.context.top_n, &mut batch);
        (batch, accepted, tapped)
    }

    /// Gives back the memory of rows that are in the engine's hands; messages wait for their answers.
    pub fn settle(&mut self) {
        self.row_bytes = 0;
        self.reservation.set(self.schemas.bytes() + self.handed_out * ACCEPTED_BYTES);
    }

    /// The checks of specification 2.2 and 2.4, in order; the number of the target when the message passes all.
    fn decide(
        &mut self,
        view: &WriteView<'_>,
        slots: &WriteSlots<'_>,
        bytes: usize,
        patience: Patience,
    ) -> Result<usize, Stop> {
        let invalid = |text: String| Stop::Break(Status::invalid_argument(text));
        view.validate(self.model, slots).map_err(|broken| invalid(broken.to_string()))?;
        let value = view.value.unwrap_or_default();
        let metrics = &self.context.metrics;
        self.schemas
            .update(view, slots, metrics)
            .map_err(|error| Stop::Break(Status::internal(error.to_string())))?;
        let Some((target, metadata)) = self.schemas.target() else {
            let text = "metadata is required for the first request of gRPC stream";
            return Err(Stop::Break(Status::unknown(text)));
        };
        let revision = metadata.revision;
        let registry = &self.context.registry;
        let resource = registry.resource(self.model, &metadata.group, &metadata.name);
        let deleting = match &resource {
            Some(resource) => resource.group.is_deleting(),
            None => registry.group(&metadata.group).is_some_and(|group| group.is_deleting()),
        };
        if deleting {
            return Err(Stop::Refuse(WriteStatus::InternalError));
        }
        let may_wait = patience == Patience::Left && !self.context.schema_wait.is_zero();
        let (time, version) = match self.model {
            Model::Trace => {
                (self.span_time(resource.as_ref(), slots, target, may_wait)?, view.message_id as i64)
            }
            Model::Measure | Model::Stream => {
                let stamp = value.timestamp.unwrap_or(NO_TIME);
                let time = time_of(stamp.seconds, stamp.nanos);
                (time.map_err(|_| Stop::Refuse(WriteStatus::InvalidTimestamp))?, value.version)
            }
        };
        let resource = gate(resource, revision, may_wait)?;
        self.reserve(bytes)?;
        // Data points without a version have that of their message id (row 7).
        let unversioned = self.model == Model::Measure && version == 0;
        let version = if unversioned { view.message_id as i64 } else { version };
        self.push(slots, time, version, target, resource)?;
        Ok(target)
    }

    /// The time of a span; where it is depends on the schema, so an unknown trace is refused before it
    /// (trace specification 2.2, rows 2 and 3).
    fn span_time(
        &mut self,
        resource: Option<&Arc<CompiledResource>>,
        slots: &WriteSlots<'_>,
        target: usize,
        may_wait: bool,
    ) -> Result<i64, Stop> {
        let Some(resource) = resource else {
            return Err(if may_wait { Stop::Wait } else { Stop::Refuse(WriteStatus::NotFound) });
        };
        let places = self.schemas.plan(target, resource.clone(), &self.context.top_n).span;
        let tags = slots.families().next().unwrap_or_default();
        let time = places.and_then(|places| places.time(tags));
        time.ok_or(Stop::Refuse(WriteStatus::InvalidTimestamp))
    }

    /// Reserves memory for a message. Its row and what remembers it double in place when they grow.
    fn reserve(&mut self, bytes: usize) -> Result<(), Stop> {
        let row_bytes = self.row_bytes + 2 * (bytes + ACCEPTED_BYTES);
        self.reservation.cover(row_bytes + self.schemas.bytes() + self.tap.bytes()).map_err(|refusal| {
            tracing::debug!(%refusal, "row refused");
            Stop::Refuse(WriteStatus::InternalError)
        })?;
        self.row_bytes = row_bytes;
        Ok(())
    }

    /// Adds the row of a message to the batch, or counts why it is not kept.
    fn push(
        &mut self,
        slots: &WriteSlots<'_>,
        time: i64,
        version: i64,
        target: usize,
        resource: Arc<CompiledResource>,
    ) -> Result<(), Stop> {
        let (context, batch, tap) = (&self.context, &mut self.batch, &mut self.tap);
        let plan = self.schemas.plan(target, resource, &context.top_n);
        let segment = &mut plan.segment;
        let (group, layout) = (&plan.resource.group, plan.resource.schema.layout());
        let add = |parts: RowParts<'_>| {
            if time <= 0 {
                return Err(RowFault::NotKept);
            }
            let Some(bounds) = segment_of(segment, context, group.id, time)? else {
                return Ok(());
            };
            let table = TableKey { group: group.id, segment: bounds, shard: parts.shard };
            let row = Row { entity: parts.entity, time, version, deleted: false, values: parts.values };
            batch.push(table, layout, &row).map_err(RowFault::Refused)?;
            if !plan.taps.is_empty() {
                tap.take(&plan.taps, slots, parts.entity, (time, version), parts.values);
            }
            Ok(())
        };
        let (shard_seed, shard_num) = match self.model {
            Model::Trace => ("", group.options.shard_num),
            Model::Measure | Model::Stream => (layout.resource(), group.options.shard_num),
        };
        let tags = slots.families().next().unwrap_or_default();
        let checked = plan.span.map_or(Ok(()), |places| places.check(tags));
        let pushed =
            checked.and_then(|()| self.scratch.with_row(&plan.mapping, slots, shard_seed, shard_num, add));
        match pushed {
            Ok(()) => Ok(()),
            Err(RowFault::NotKept) => {
                context.metrics.rows_dropped.with(&[group.name()]).add(1);
                Ok(())
            }
            Err(RowFault::KeyTagMissing) => Err(Stop::Refuse(WriteStatus::InternalError)),
            Err(RowFault::Refused(error)) => {
                tracing::debug!(%error, "row refused");
                Err(Stop::Refuse(WriteStatus::InternalError))
            }
        }
    }
}

/// The revision gate and the look-up of the resource (specification 2.4, rows 4 and 5).
fn gate(
    resource: Option<Arc<CompiledResource>>,
    revision: i64,
    may_wait: bool,
) -> Result<Arc<CompiledResource>, Stop> {
    let late = |status| if may_wait { Stop::Wait } else { Stop::Refuse(status) };
    match (standing(resource.as_deref(), revision), resource) {
        (Standing::Current, Some(resource)) => Ok(resource),
        (Standing::Behind, _) => Err(Stop::Refuse(WriteStatus::ExpiredSchema)),
        (Standing::Ahead, _) => Err(late(WriteStatus::SchemaNotApplied)),
        (Standing::Unknown, _) if revision > 0 => Err(Stop::Refuse(WriteStatus::NotFound)),
        _ => Err(late(WriteStatus::InternalError)),
    }
}

/// The segment of a row; none when it has expired. `last` is the segment of the row before, and is tried first.
fn segment_of(
    last: &mut Option<SegmentBounds>,
    context: &WriteContext,
    group: GroupId,
    time: i64,
) -> Result<Option<SegmentBounds>, RowFault> {
    if let Some(bounds) = last.filter(|bounds| bounds.contains(time)) {
        return Ok(Some(bounds));
    }
    match context.sink.route(group, time).map_err(RowFault::Refused)? {
        Route::Segment(bounds) => {
            *last = Some(bounds);
            Ok(Some(bounds))
        }
        Route::Expired => Ok(None),
    }
}

/// The accepted messages of a stream, in order of acceptance, until they are answered.
#[derive(Debug, Default)]
pub struct Accepted {
    messages: std::vec::IntoIter<(u64, usize)>,
    /// Encoded metadata of each target, and the counter of its replies.
    targets: Vec<(Bytes, Counter)>,
}

impl Accepted {
    /// Number of messages that are not answered yet.
    pub fn len(&self) -> usize {
        self.messages.len()
    }
}

impl Iterator for Accepted {
    type Item = (u64, Bytes);

    /// The id of the next message and the metadata in force for it.
    fn next(&mut self) -> Option<(u64, Bytes)> {
        let (message_id, target) = self.messages.next()?;
        let (metadata, sent) = self.targets.get(target)?;
        sent.add(1);
        Some((message_id, metadata.clone()))
    }
}

#[cfg(test)]
mod tests;
