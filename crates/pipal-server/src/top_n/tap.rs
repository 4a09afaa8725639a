//! The tap into write streams: takes down what aggregations need of each row while its batch is gathered, and hands
//! it to the processor once the batch is stored.

use super::TopN;
use super::definition::Definition;
use super::marks::{Aggregation, Openness};
use super::rows::WindowRow;
use super::store::push_ledger;
use crate::api::database::TopNAggregation;
use crate::registry::CompiledResource;
use hashbrown::HashMap;
use pipal_api::write::WriteSlots;
use pipal_engine::WriteBatch;
use pipal_model::{Result, ValueRef};
use pipal_query::schema::{RowSchema, TagPlace};
use pipal_query::top_n::Number;
use std::sync::Arc;

/// Where a tag is in the messages of a stream: family and position in it.
pub type MessagePlace = (usize, usize);

/// What one aggregation takes of the messages of one target and spec.
#[derive(Debug)]
pub struct RowTap {
    aggregation: Arc<Aggregation>,
    definition: Arc<Definition>,
    /// Tags that a message must have; none when messages of this spec never have all of them.
    required: Option<Box<[MessagePlace]>>,
}

/// The taps of a measure, usually none. `place` finds the tag of a place in messages.
pub fn taps_of(
    top_n: &TopN,
    measure: &CompiledResource,
    place: impl Fn(&RowSchema, TagPlace) -> Option<MessagePlace>,
) -> Box<[RowTap]> {
    let tap = |aggregation: &Arc<TopNAggregation>| {
        let (aggregation, definition) = top_n.aggregation(measure, aggregation)?;
        let required = definition.required().map(|tag| place(&measure.schema, tag)).collect();
        Some(RowTap { aggregation, definition, required })
    };
    measure.aggregations.iter().filter_map(tap).collect()
}

/// A row on its way to the processor.
#[derive(Debug)]
pub struct TappedRow {
    pub touch: u32,
    time: i64,
    version: i64,
    entity: Text,
    group: Text,
    rank: Option<Number>,
}

/// Bytes among the texts of all rows. A stream of writes holds less than 4 GiB.
#[derive(Clone, Copy, Debug)]
struct Text {
    start: u32,
    end: u32,
}

impl Text {
    fn push(bytes: &[u8], texts: &mut Vec<u8>) -> Text {
        let start = texts.len() as u32;
        texts.extend_from_slice(bytes);
        Text { start, end: texts.len() as u32 }
    }

    fn of(self, texts: &[u8]) -> &[u8] {
        texts.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl TappedRow {
    /// The row as a window takes it.
    pub fn row<'a>(&self, texts: &'a [u8]) -> WindowRow<'a> {
        let TappedRow { time, version, rank, .. } = *self;
        WindowRow { entity: self.entity.of(texts), time, version, group: self.group.of(texts), rank }
    }
}

/// A window of an aggregation that a request has rows of.
#[derive(Debug)]
pub struct Touch {
    pub aggregation: Arc<Aggregation>,
    pub definition: Arc<Definition>,
    pub window: i64,
    /// The request carries the row of the ledger that makes the window pending.
    pub is_marking: bool,
    is_late: bool,
}

/// The rows of one stream since its last commit.
#[derive(Debug, Default)]
pub struct Tap {
    rows: Vec<TappedRow>,
    /// Entities and groups of the rows.
    texts: Vec<u8>,
    touches: Vec<Touch>,
    /// Numbers of the touches, by address of the definition and window.
    numbers: HashMap<(usize, i64), u32>,
    group: Vec<u8>,
}

impl Tap {
    /// Takes a row that is part of the batch. `values` are those of the layout of the measure.
    pub fn take(
        &mut self,
        taps: &[RowTap],
        slots: &WriteSlots<'_>,
        entity: &[u8],
        (time, version): (i64, i64),
        values: &[ValueRef<'_>],
    ) {
        if taps.is_empty() {
            return;
        }
        let entity_text = Text::push(entity, &mut self.texts);
        for tap in taps {
            let definition = &tap.definition;
            let value = |column: usize| {
                let position = definition.layout_positions.get(column);
                position.and_then(|at| values.get(*at)).copied().unwrap_or(ValueRef::Null)
            };
            let rank = match tap.has_required(slots) {
                true => definition.rank(entity, value, &mut self.group),
                false => None,
            };
            let touch = self.touch(tap, definition.window_of(time));
            let group = if rank.is_some() { self.group.as_slice() } else { &[] };
            let group = Text::push(group, &mut self.texts);
            self.rows.push(TappedRow { touch, time, version, entity: entity_text, group, rank });
        }
    }

    fn touch(&mut self, tap: &RowTap, window: i64) -> u32 {
        let touches = &mut self.touches;
        *self.numbers.entry((Arc::as_ptr(&tap.definition) as usize, window)).or_insert_with(|| {
            touches.push(Touch {
                aggregation: tap.aggregation.clone(),
                definition: tap.definition.clone(),
                window,
                is_marking: false,
                is_late: false,
            });
            touches.len() as u32 - 1
        })
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.rows.len() * size_of::<TappedRow>() + self.texts.len()
    }

    /// Ends the batch: decides which rows are late, and adds rows of the ledger.
    pub fn seal(&mut self, top_n: &TopN, batch: &mut WriteBatch) -> Sealed {
        let Tap { mut rows, texts, mut touches, .. } = std::mem::take(self);
        for touch in &mut touches {
            touch.begin(top_n, batch);
        }
        rows.retain(|row| touches.get(row.touch as usize).is_some_and(|touch| !touch.is_late));
        Sealed { top_n: top_n.clone(), rows, texts, touches }
    }
}

impl RowTap {
    fn has_required(&self, slots: &WriteSlots<'_>) -> bool {
        let Some(required) = &self.required else { return false };
        let is_sent =
            |place: &MessagePlace| slots.families().nth(place.0).is_some_and(|family| family.len() > place.1);
        required.iter().all(is_sent)
    }
}

impl Touch {
    /// Counts the request in, and marks the window in the ledger unless it is marked.
    fn begin(&mut self, top_n: &TopN, batch: &mut WriteBatch) {
        let aggregation = &self.aggregation;
        let mut marks = aggregation.marks.lock();
        let Some(mark) = marks.open(self.window, Openness::new(&self.definition, top_n.now())) else {
            self.is_late = true;
            return;
        };
        mark.in_flight += 1;
        if mark.is_pending {
            return;
        }
        // The version is taken under the lock, so that it is greater than that of a publication before it.
        let (target, version) = ((aggregation.group, &*aggregation.name), top_n.next_version());
        match push_ledger(top_n.engine(), batch, target, self.window, version, true) {
            Ok(()) => self.is_marking = true,
            // The rows are not refused for it: only a crash within a second would show in the ranking.
            Err(error) => {
                tracing::warn!(%error, aggregation = %aggregation.name, "a window is not in the ledger")
            }
        }
    }

    /// Counts the request out.
    pub fn end(&self) {
        if let Some(mark) = self.aggregation.marks.lock().get_mut(self.window) {
            mark.in_flight = mark.in_flight.saturating_sub(1);
        }
    }
}

/// The rows of a batch that is being stored. Dropped, they count as not stored.
#[derive(Debug)]
pub struct Sealed {
    top_n: TopN,
    rows: Vec<TappedRow>,
    texts: Vec<u8>,
    touches: Vec<Touch>,
}

impl Sealed {
    /// Hands the rows on if their batch was stored. Called by a thread of the engine, and never waits.
    pub fn committed(mut self, result: &Result<()>) {
        let (rows, texts) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.texts));
        let touches = std::mem::take(&mut self.touches);
        if touches.is_empty() {
            return;
        }
        if result.is_err() {
            return end_all(&touches);
        }
        for touch in touches.iter().filter(|touch| touch.is_marking) {
            if let Some(mark) = touch.aggregation.marks.lock().get_mut(touch.window) {
                mark.is_pending = true;
            }
        }
        self.top_n.enqueue(Stored { rows, texts, touches });
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        end_all(&self.touches);
    }
}

fn end_all(touches: &[Touch]) {
    touches.iter().filter(|touch| !touch.is_late).for_each(Touch::end);
}

/// Rows that are stored.
#[derive(Debug)]
pub struct Stored {
    /// The rows; none when there was no room to keep them.
    pub rows: Vec<TappedRow>,
    /// Their entities and groups.
    pub texts: Vec<u8>,
    /// The windows that they belong to.
    pub touches: Vec<Touch>,
}

impl Stored {
    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.texts.len() + self.rows.len() * size_of::<TappedRow>() + self.touches.len() * size_of::<Touch>()
    }
}

impl Touch {
    /// True when its rows were late.
    pub fn is_late(&self) -> bool {
        self.is_late
    }
}
