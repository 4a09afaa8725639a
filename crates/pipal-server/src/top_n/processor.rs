//! Keeps the rows of open windows and publishes their rankings.

use super::definition::Definition;
use super::marks::Aggregation;
use super::rows::{Ranking, Rows};
use super::store::{self, published_groups, push_ledger, push_ranking, read_window};
use super::summary::Summary;
use super::tap::{Stored, TappedRow, Touch};
use super::{Key, TopN};
use pipal_engine::WriteBatch;
use pipal_model::{MemoryPool, Reservation, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rankings are committed when a batch has this many bytes.
const BATCH_BYTES: usize = 8 << 20;
/// A window without room in memory is read again only after this many times the time that reading it took.
const REST_FACTOR: i64 = 10;

/// The windows of all aggregations.
pub struct Processor {
    states: BTreeMap<Key, State>,
    memory: Memory,
}

/// What the windows hold of the memory that they share.
struct Memory {
    reservation: Reservation,
    used: usize,
}

impl Memory {
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.reservation.cover(self.used.saturating_add(bytes)).is_ok();
        self.used += if fits { bytes } else { 0 };
        fits
    }

    fn give_back(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }
}

/// The windows of one aggregation.
struct State {
    aggregation: Arc<Aggregation>,
    definition: Arc<Definition>,
    windows: BTreeMap<i64, Window>,
}

#[derive(Default)]
struct Window {
    /// All rows of the window; none when they are only in storage.
    rows: Option<Rows>,
    /// Bytes of `rows` that are taken from the memory.
    bytes: usize,
    /// True when the published rankings lack rows.
    is_changed: bool,
    /// Not to be read from storage before this time.
    rest_until: i64,
}

impl Window {
    fn unload(&mut self, memory: &mut Memory) {
        self.rows = None;
        memory.give_back(std::mem::take(&mut self.bytes));
    }

    /// Takes the memory that the rows hold by now; false when there is none left.
    fn settle_bytes(&mut self, memory: &mut Memory) -> bool {
        let held = self.rows.as_ref().map_or(0, Rows::bytes);
        let fits = memory.take(held.saturating_sub(self.bytes));
        if fits {
            self.bytes = self.bytes.max(held);
        }
        fits
    }
}

/// A window whose rankings are in a batch.
struct Included {
    key: Key,
    window: i64,
    takes_mark_back: bool,
}

impl Processor {
    /// A processor without windows.
    pub fn new(memory: &Arc<MemoryPool>) -> Self {
        let reservation = Reservation::new(memory, usize::MAX);
        Processor { states: BTreeMap::new(), memory: Memory { reservation, used: 0 } }
    }

    /// Names a window that has to be read from storage and published.
    pub fn add_pending(&mut self, aggregation: &Arc<Aggregation>, definition: &Arc<Definition>, window: i64) {
        let window = self.state(aggregation, definition).windows.entry(window).or_default();
        window.is_changed = true;
    }

    fn state(&mut self, aggregation: &Arc<Aggregation>, definition: &Arc<Definition>) -> &mut State {
        let key = (aggregation.group, aggregation.name.clone());
        self.states.entry(key).or_insert_with(|| State {
            aggregation: aggregation.clone(),
            definition: definition.clone(),
            windows: BTreeMap::new(),
        })
    }

    /// Takes stored rows into their windows.
    pub fn apply(&mut self, stored: Stored) {
        let Stored { mut rows, texts, touches } = stored;
        // The sort is stable: rows of a window keep their order of arrival.
        rows.sort_by_key(|row| row.touch);
        let mut rest = rows.as_slice();
        for (number, touch) in touches.iter().enumerate().filter(|(_, touch)| !touch.is_late()) {
            let (of_touch, behind) = rest.split_at(rest.partition_point(|row| row.touch as usize <= number));
            rest = behind;
            self.apply_touch(touch, of_touch, &texts);
            touch.end();
        }
    }

    fn apply_touch(&mut self, touch: &Touch, rows: &[TappedRow], texts: &[u8]) {
        let is_stored =
            touch.aggregation.marks.lock().get_mut(touch.window).is_none_or(|mark| mark.is_stored);
        let is_known = self.state(&touch.aggregation, &touch.definition).definition.revisions
            == touch.definition.revisions;
        let key = (touch.aggregation.group, touch.aggregation.name.clone());
        let Some(state) = self.states.get_mut(&key) else { return };
        let window = state.windows.entry(touch.window).or_insert_with(|| Window {
            // What neither the ledger nor this process knows begins here.
            rows: (!is_stored).then(Rows::default),
            ..Window::default()
        });
        window.is_changed = true;
        if let Some(held) = &mut window.rows {
            rows.iter().for_each(|row| held.apply(row.row(texts)));
        }
        // Rows that were dropped or read by another definition are found in storage.
        if rows.is_empty() || !is_known {
            window.unload(&mut self.memory);
        } else if !window.settle_bytes(&mut self.memory) {
            self.make_room();
            let window = self.states.get_mut(&key).and_then(|state| state.windows.get_mut(&touch.window));
            if let Some(window) = window.filter(|window| window.rows.is_some())
                && !window.settle_bytes(&mut self.memory)
            {
                window.unload(&mut self.memory);
            }
        }
    }

    /// Gives back what published windows hold, but for the newest of each aggregation: late rows are rare.
    fn make_room(&mut self) {
        for state in self.states.values_mut() {
            for (_, window) in state.windows.iter_mut().rev().skip(1) {
                if !window.is_changed {
                    window.unload(&mut self.memory);
                }
            }
        }
    }

    /// Publishes all windows that changed.
    pub fn publish(&mut self, top_n: &TopN) {
        self.follow_registry(top_n);
        let keys: Vec<Key> = self.states.keys().cloned().collect();
        let mut batch = WriteBatch::new();
        let mut included: Vec<Included> = Vec::new();
        let mut group = None;
        for key in keys {
            // One batch per group, so that a group that is being deleted holds up no other.
            if group.replace(key.0) != Some(key.0) {
                self.commit(top_n, &mut batch, &mut included);
            }
            let changed = self.states.get(&key).map_or_else(Vec::new, |state| state.due(top_n.now()));
            for window in changed {
                if let Err(error) = self.publish_window(top_n, &key, window, &mut batch, &mut included) {
                    tracing::warn!(%error, aggregation = %key.1, "a Top-N window is not published yet");
                }
            }
        }
        self.commit(top_n, &mut batch, &mut included);
        self.close_windows();
    }

    /// Drops aggregations that were deleted, and lets changed ones read their windows again.
    fn follow_registry(&mut self, top_n: &TopN) {
        top_n.forget_dropped_groups();
        let memory = &mut self.memory;
        self.states.retain(|_, state| {
            let current = top_n.current(&state.aggregation);
            if current.as_ref().is_some_and(|now| now.revisions == state.definition.revisions) {
                return true;
            }
            let mut marks = state.aggregation.marks.lock();
            for (start, window) in &mut state.windows {
                window.unload(memory);
                if let Some(mark) = marks.get_mut(*start) {
                    mark.is_stored = true;
                }
            }
            drop(marks);
            let goes_on = current.is_some();
            if let Some(current) = current {
                state.definition = current;
            }
            goes_on
        });
    }

    fn publish_window(
        &mut self,
        top_n: &TopN,
        key: &Key,
        start: i64,
        batch: &mut WriteBatch,
        included: &mut Vec<Included>,
    ) -> Result<()> {
        let Some(state) = self.states.get_mut(key) else { return Ok(()) };
        let Some(window) = state.windows.get_mut(&start) else { return Ok(()) };
        let definition = state.definition.clone();
        let (takes_mark_back, version) = {
            let mut marks = state.aggregation.marks.lock();
            let is_settled = marks.get_mut(start).is_none_or(|mark| mark.in_flight == 0);
            if is_settled && let Some(mark) = marks.get_mut(start) {
                mark.is_pending = false;
            }
            (is_settled, top_n.next_version())
        };
        let aggregation = state.aggregation.clone();
        let mut add = |memory: &mut Memory| -> Result<()> {
            let rankings = match &window.rows {
                Some(rows) => rows.rankings(&definition),
                None => read_again(top_n, &definition, start, window, memory)?,
            };
            let results = store::results_of(&top_n.0.registry, &aggregation.group_name)?;
            for ranking in &rankings {
                push_ranking(top_n.engine(), batch, &results, &definition, start, version, ranking)?;
                if batch.bytes() > BATCH_BYTES {
                    top_n.engine().commit_blocking(std::mem::take(batch))?;
                }
            }
            if takes_mark_back {
                push_ledger(top_n.engine(), batch, (key.0, &key.1), start, version, false)?;
            }
            Ok(())
        };
        let added = add(&mut self.memory);
        if added.is_ok() {
            included.push(Included { key: key.clone(), window: start, takes_mark_back });
        } else if takes_mark_back {
            restore_mark(&aggregation, start);
        }
        added
    }

    /// Stores a batch. Windows whose rankings could not be stored stay changed.
    fn commit(&mut self, top_n: &TopN, batch: &mut WriteBatch, included: &mut Vec<Included>) {
        let batch = std::mem::take(batch);
        let result = if batch.is_empty() { Ok(()) } else { top_n.engine().commit_blocking(batch) };
        if let Err(error) = &result {
            tracing::warn!(%error, windows = included.len(), "Top-N rankings could not be stored; they are tried again");
        }
        for Included { key, window: start, takes_mark_back } in included.drain(..) {
            let Some(state) = self.states.get_mut(&key) else { continue };
            let Some(window) = state.windows.get_mut(&start) else { continue };
            match &result {
                Ok(()) => {
                    window.is_changed = false;
                    window.rows.iter_mut().for_each(Rows::set_published);
                }
                Err(_) if takes_mark_back => restore_mark(&state.aggregation, start),
                Err(_) => {}
            }
        }
    }

    /// Forgets published windows that are closed.
    fn close_windows(&mut self) {
        let memory = &mut self.memory;
        for state in self.states.values_mut() {
            let marks = state.aggregation.marks.lock();
            state.windows.retain(|start, window| {
                let stays = window.is_changed || marks.contains(*start);
                if !stays {
                    window.unload(memory);
                }
                stays
            });
        }
    }

    /// Bytes that the windows hold.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.memory.used
    }
}

impl State {
    /// The windows to publish now.
    fn due(&self, now: i64) -> Vec<i64> {
        let is_due =
            |window: &Window| window.is_changed && (window.rows.is_some() || window.rest_until <= now);
        self.windows.iter().filter(|(_, window)| is_due(window)).map(|(start, _)| *start).collect()
    }
}

fn restore_mark(aggregation: &Aggregation, window: i64) {
    if let Some(mark) = aggregation.marks.lock().get_mut(window) {
        mark.is_pending = true;
    }
}

/// Reads the rows of a window from storage, keeps them if there is room, and gives all rankings. Groups that have a
/// published ranking get a new one even if no row is left in them.
fn read_again(
    top_n: &TopN,
    definition: &Definition,
    start: i64,
    window: &mut Window,
    memory: &mut Memory,
) -> Result<Vec<Ranking>> {
    let began = top_n.now();
    let groups = published_groups(top_n.engine(), definition, start)?;
    let mut rows = Rows::default();
    let mut fits = true;
    let mut taken = 0;
    read_window(top_n.engine(), definition, start, |row| {
        rows.apply(row);
        let more = rows.bytes() - taken;
        fits = memory.take(more);
        taken += if fits { more } else { 0 };
        fits
    })?;
    if fits {
        groups.iter().for_each(|group| rows.add_group(group));
        let rankings = rows.rankings(definition);
        (window.rows, window.bytes) = (Some(rows), taken);
        return Ok(rankings);
    }
    memory.give_back(taken);
    drop(rows);
    let mut summary = Summary::new(definition);
    groups.iter().for_each(|group| summary.add_group(group));
    read_window(top_n.engine(), definition, start, |row| {
        summary.apply(row);
        true
    })?;
    let took = top_n.now().saturating_sub(began);
    window.rest_until = top_n.now().saturating_add(took.saturating_mul(REST_FACTOR));
    Ok(summary.rankings())
}
