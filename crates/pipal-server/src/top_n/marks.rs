//! The open windows of an aggregation as writers see them: which rows are late, and which windows the ledger names.

use super::definition::{Definition, WINDOWS_MAX};
use parking_lot::Mutex;
use pipal_engine::GroupId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An aggregation by name; it outlives its definitions.
#[derive(Debug)]
pub struct Aggregation {
    /// Incarnation of the group.
    pub group: GroupId,
    /// Name of the group.
    pub group_name: Box<str>,
    /// Name of the aggregation.
    pub name: Box<str>,
    /// Its windows.
    pub marks: Mutex<Marks>,
    /// The newest definition that was asked for.
    pub definition: Mutex<Option<Arc<Definition>>>,
}

impl Aggregation {
    /// An aggregation without windows.
    pub fn new(group: GroupId, group_name: &str, name: &str) -> Self {
        Aggregation {
            group,
            group_name: group_name.into(),
            name: name.into(),
            marks: Mutex::default(),
            definition: Mutex::default(),
        }
    }
}

/// What is known of a window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    /// Requests with rows of the window that are on their way from a writer to the processor.
    pub in_flight: u32,
    /// A durable row of the ledger says that the window has rows which no published ranking has.
    pub is_pending: bool,
    /// There are rows in storage that the processor does not hold.
    pub is_stored: bool,
}

/// The windows by start.
#[derive(Debug, Default)]
pub struct Marks {
    windows: BTreeMap<i64, Mark>,
}

/// Which windows are open.
#[derive(Clone, Copy, Debug)]
pub struct Openness {
    windows: usize,
    interval: i64,
    now: i64,
}

impl Openness {
    /// At `now`, nanoseconds since the epoch.
    pub fn new(definition: &Definition, now: i64) -> Self {
        Openness { windows: definition.windows, interval: definition.interval, now }
    }

    /// True for the windows that the clock has in sight, so that rows of the future close none of them.
    fn is_recent(&self, window: i64) -> bool {
        let span = self.interval.saturating_mul(self.windows as i64);
        (self.now.saturating_sub(span)..=self.now).contains(&window)
    }
}

impl Marks {
    /// The mark of a window that a row is written to; none when the row is late. The newest windows are open, as
    /// many as the definition says, and those that the clock has in sight.
    pub fn open(&mut self, window: i64, open: Openness) -> Option<&mut Mark> {
        // Windows that are only kept until they are published are closed for rows, so that a restart, which may fall
        // before or behind the publication, changes nothing.
        let oldest = self.windows.keys().rev().nth(open.windows.saturating_sub(1));
        if oldest.is_some_and(|oldest| window < *oldest) && !open.is_recent(window) {
            return None;
        }
        let known = self.windows.len();
        self.windows.entry(window).or_default();
        if self.windows.len() > known {
            self.close_old(window, open);
        }
        self.windows.get_mut(&window)
    }

    /// Forgets the oldest windows beyond the open ones, but for those that something still depends on.
    fn close_old(&mut self, keep: i64, open: Openness) {
        let surplus = self.windows.len().saturating_sub(open.windows);
        let closed: Vec<i64> = (self.windows.iter().take(surplus))
            .filter(|(window, mark)| {
                **window != keep && mark.in_flight == 0 && !mark.is_pending && !open.is_recent(**window)
            })
            .map(|(window, _)| *window)
            .collect();
        for window in closed {
            self.windows.remove(&window);
        }
    }

    /// A window that the ledger of an earlier process names.
    pub fn recover(&mut self, window: i64, is_pending: bool) {
        self.windows.insert(window, Mark { in_flight: 0, is_pending, is_stored: true });
        if self.windows.len() > WINDOWS_MAX {
            let oldest = self.windows.iter().find(|(_, mark)| !mark.is_pending).map(|(window, _)| *window);
            oldest.and_then(|oldest| self.windows.remove(&oldest));
        }
    }

    /// The mark of a window that is known.
    pub fn get_mut(&mut self, window: i64) -> Option<&mut Mark> {
        self.windows.get_mut(&window)
    }

    /// True while a window is known.
    pub fn contains(&self, window: i64) -> bool {
        self.windows.contains_key(&window)
    }
}
