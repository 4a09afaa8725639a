//! A group: options, a gate, and segments.

use super::segment::Segment;
use crate::options::{FUTURE_SEGMENTS_MAX, SEGMENTS_MAX};
use crate::table::TableContext;
use crate::table_key::{GroupId, SegmentBounds};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pipal_model::{Error, ErrorKind, Interval, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the registry tells the engine about a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// Span of new segments; none for groups that are not divided by time.
    pub segment_interval: Option<Interval>,
    /// Rows are kept this long; none keeps them for ever.
    pub ttl: Option<Interval>,
    /// Number of shards of new segments, at least 1.
    pub shard_num: u32,
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Into this segment.
    Segment(SegmentBounds),
    /// Its segment has expired: the row is acknowledged and not kept.
    Expired,
}

/// See the module.
pub(crate) struct Group {
    pub id: GroupId,
    dir: PathBuf,
    context: Arc<TableContext>,
    options: ArcSwap<Option<GroupOptions>>,
    is_gate_closed: AtomicBool,
    /// By start.
    segments: ArcSwap<Vec<Arc<Segment>>>,
    change: Mutex<()>,
}

impl Group {
    pub fn new(id: GroupId, dir: PathBuf, context: Arc<TableContext>) -> Self {
        Group {
            id,
            dir,
            context,
            options: ArcSwap::from_pointee(None),
            is_gate_closed: AtomicBool::new(false),
            segments: ArcSwap::default(),
            change: Mutex::new(()),
        }
    }

    /// Options, once the registry has told them.
    pub fn options(&self) -> Option<GroupOptions> {
        **self.options.load()
    }

    pub fn set_options(&self, options: GroupOptions) {
        self.options.store(Arc::new(Some(options)));
    }

    pub fn close_gate(&self) {
        self.is_gate_closed.store(true, Ordering::SeqCst);
    }

    /// An error once the gate is closed.
    pub fn check_gate(&self) -> Result<()> {
        if self.is_gate_closed.load(Ordering::SeqCst) {
            let detail = "the group is being deleted";
            return Err(Error::new(ErrorKind::FailedPrecondition, "write", detail)
                .about(format!("group {:016x}", self.id)));
        }
        Ok(())
    }

    /// Segments by start.
    pub fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.load_full()
    }

    /// Segments whose rows are still shown.
    pub fn live_segments(&self) -> Vec<Arc<Segment>> {
        let limit = self.expiry_limit();
        self.segments.load().iter().filter(|s| !is_expired(s.bounds(), limit)).cloned().collect()
    }

    /// A segment that ends at or before this time has expired.
    fn expiry_limit(&self) -> Option<i64> {
        let ttl = self.options()?.ttl?;
        Some(self.context.clock.now().saturating_sub(ttl.nanos()))
    }

    /// Where a row of this time belongs; makes the segment when it is not there yet.
    pub fn route(&self, time: i64) -> Result<Route> {
        self.check_gate()?;
        let not_known = || Error::new(ErrorKind::NotFound, "route row", "the group is not open");
        let options = self.options().ok_or_else(not_known)?;
        let Some(interval) = options.segment_interval else {
            return Ok(Route::Segment(SegmentBounds::UNBOUNDED));
        };
        let limit = self.expiry_limit();
        if let Some(segment) = find(&self.segments.load(), time) {
            let bounds = segment.bounds();
            return Ok(if is_expired(bounds, limit) { Route::Expired } else { Route::Segment(bounds) });
        }
        let _change = self.change.lock();
        let segments = self.segments.load_full();
        if let Some(segment) = find(&segments, time) {
            return Ok(Route::Segment(segment.bounds()));
        }
        let bounds = free_span(&segments, interval, time);
        if is_expired(bounds, limit) {
            return Ok(Route::Expired);
        }
        self.check_room(&segments, bounds)?;
        self.insert(Segment::new(self.id, bounds, &self.dir, self.context.clone()));
        Ok(Route::Segment(bounds))
    }

    fn check_room(&self, segments: &[Arc<Segment>], bounds: SegmentBounds) -> Result<()> {
        let now = self.context.clock.now();
        let future = segments.iter().filter(|s| s.bounds().start > now).count();
        let refuse = |detail: String| Err(Error::new(ErrorKind::ResourceExhausted, "route row", detail));
        if bounds.start > now && future >= FUTURE_SEGMENTS_MAX {
            return refuse(format!(
                "the group has {future} segments in the future, and {FUTURE_SEGMENTS_MAX} is the maximum"
            ));
        }
        if segments.len() >= SEGMENTS_MAX {
            return refuse(format!(
                "the group has {} segments, and {SEGMENTS_MAX} is the maximum",
                segments.len()
            ));
        }
        Ok(())
    }

    /// The segment with exactly these bounds, made if it is not there: for rows of the log and for files.
    pub fn segment(&self, bounds: SegmentBounds) -> Arc<Segment> {
        let _change = self.change.lock();
        if let Some(segment) = self.segments.load().iter().find(|s| s.bounds() == bounds) {
            return segment.clone();
        }
        self.insert(Segment::new(self.id, bounds, &self.dir, self.context.clone()))
    }

    /// Adds a segment that was found on disk.
    pub fn add_segment(&self, segment: Segment) -> Arc<Segment> {
        let _change = self.change.lock();
        self.insert(segment)
    }

    /// Called with `change` held.
    fn insert(&self, segment: Segment) -> Arc<Segment> {
        let segment = Arc::new(segment);
        let mut segments = Vec::clone(&self.segments.load());
        segments.push(segment.clone());
        segments.sort_by_key(|s| s.bounds());
        self.segments.store(Arc::new(segments));
        segment
    }

    /// Takes expired segments out of the group; their tables do nothing any more.
    pub fn take_expired(&self) -> Vec<Arc<Segment>> {
        let limit = self.expiry_limit();
        let _change = self.change.lock();
        let segments = self.segments.load_full();
        let (expired, live): (Vec<_>, Vec<_>) =
            segments.iter().cloned().partition(|s| is_expired(s.bounds(), limit));
        if !expired.is_empty() {
            self.segments.store(Arc::new(live));
        }
        expired
    }
}

fn is_expired(bounds: SegmentBounds, limit: Option<i64>) -> bool {
    bounds != SegmentBounds::UNBOUNDED && limit.is_some_and(|limit| bounds.end <= limit)
}

fn find(segments: &[Arc<Segment>], time: i64) -> Option<&Arc<Segment>> {
    let at = segments.partition_point(|s| s.bounds().start <= time);
    segments.get(at.checked_sub(1)?).filter(|s| s.bounds().contains(time))
}

/// The grid cell of a time, cut where neighbours of an older grid are in the way.
fn free_span(segments: &[Arc<Segment>], interval: Interval, time: i64) -> SegmentBounds {
    let (mut start, mut end) = interval.cell(time);
    for segment in segments {
        let bounds = segment.bounds();
        if bounds.end <= time {
            start = start.max(bounds.end);
        }
        if bounds.start > time {
            end = end.min(bounds.start);
        }
    }
    SegmentBounds { start, end }
}
