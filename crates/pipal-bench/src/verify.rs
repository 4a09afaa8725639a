//! Reads a whole load back and compares it with the ledger: every acknowledged point exactly once, with its last
//! acknowledged value or one that was sent later.

use std::collections::HashMap;
use std::ops::Range;

use crate::connection::Connections;
use crate::ledger::{Judgement, Ledger};
use crate::read::{Row, read_rows, rows_request};
use crate::shape::{Shape, layer_of_entity, service_id};

/// Points asked for at once: the client's own limit for one answer.
const PAGE_POINTS_MAX: u64 = 10_000;
/// Entities named in one request.
const PAGE_ENTITIES_MAX: u32 = 200;
/// Faults that are kept as text; all are counted.
const FAULT_TEXTS_MAX: usize = 10;

/// What is wrong with a row or with the absence of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An acknowledged point is not there.
    Lost,
    /// An older write came back than the one that was acknowledged.
    Stale,
    /// Values or tags differ from those that were sent with this version.
    Altered,
    /// The point came back more than once.
    Duplicated,
    /// Nobody wrote this row.
    Foreign,
}

/// The outcome of a verification.
#[derive(Debug, Default)]
pub struct Verification {
    /// Rows read.
    pub rows: u64,
    /// Acknowledged points that had to be there.
    pub expected: u64,
    pub lost: u64,
    pub stale: u64,
    pub altered: u64,
    pub duplicated: u64,
    pub foreign: u64,
    pub texts: Vec<String>,
}

impl Verification {
    /// True if nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.faults() == 0
    }

    /// Faults of all kinds.
    pub fn faults(&self) -> u64 {
        self.lost + self.stale + self.altered + self.duplicated + self.foreign
    }

    /// Counts a fault.
    pub fn note(&mut self, fault: Fault, text: impl FnOnce() -> String) {
        match fault {
            Fault::Lost => self.lost += 1,
            Fault::Stale => self.stale += 1,
            Fault::Altered => self.altered += 1,
            Fault::Duplicated => self.duplicated += 1,
            Fault::Foreign => self.foreign += 1,
        }
        if self.texts.len() < FAULT_TEXTS_MAX {
            self.texts.push(format!("{fault:?}: {}", text()));
        }
    }

    /// Adds another outcome.
    pub fn absorb(&mut self, other: Verification) {
        self.rows += other.rows;
        self.expected += other.expected;
        self.lost += other.lost;
        self.stale += other.stale;
        self.altered += other.altered;
        self.duplicated += other.duplicated;
        self.foreign += other.foreign;
        let room = FAULT_TEXTS_MAX.saturating_sub(self.texts.len());
        self.texts.extend(other.texts.into_iter().take(room));
    }
}

/// Judges a row of a measure; gives its bucket and entity.
pub fn judge_row(shape: &Shape, ledger: &Ledger, measure: u32, entity: u32, row: &Row) -> Result<u32, Fault> {
    let bucket = shape.bucket_at(row.time_ms).ok_or(Fault::Foreign)?;
    let point = u64::from(measure) * u64::from(shape.options.entities) + u64::from(entity);
    let pass = match ledger.judge(bucket, point, row.version as u64) {
        Judgement::NeverSent => return Err(Fault::Foreign),
        Judgement::Stale { .. } => return Err(Fault::Stale),
        Judgement::Write { pass } => pass,
    };
    let same = row.values == Some(shape.values(measure, entity, bucket, pass))
        && row.service_id.as_deref() == Some(&service_id(entity))
        && row.layer.as_deref() == Some(layer_of_entity(entity))
        && row.attr1_is_null;
    if same { Ok(bucket) } else { Err(Fault::Altered) }
}

/// A rectangle of points that is read at once.
#[derive(Debug, Clone, PartialEq)]
struct Page {
    measure: u32,
    entities: Range<u32>,
    buckets: Range<u32>,
}

impl Page {
    fn points(&self) -> u64 {
        u64::from(self.entities.end - self.entities.start) * u64::from(self.buckets.end - self.buckets.start)
    }
}

fn pages(measures: u32, entities: u32, buckets: u32) -> impl Iterator<Item = Page> {
    let entity_step = entities.clamp(1, PAGE_ENTITIES_MAX);
    let bucket_step = (PAGE_POINTS_MAX / u64::from(entity_step)).clamp(1, u64::from(u32::MAX)) as u32;
    (0..measures).flat_map(move |measure| {
        (0..entities).step_by(entity_step as usize).flat_map(move |first_entity| {
            (0..buckets).step_by(bucket_step as usize).map(move |first_bucket| Page {
                measure,
                entities: first_entity..(first_entity + entity_step).min(entities),
                buckets: first_bucket..first_bucket.saturating_add(bucket_step).min(buckets),
            })
        })
    })
}

fn verify_page(
    shape: &Shape,
    ledger: &Ledger,
    index: &HashMap<&str, u32>,
    page: &Page,
    rows: &[Row],
) -> Verification {
    let mut verification = Verification { rows: rows.len() as u64, ..Default::default() };
    let mut seen: HashMap<(u32, u32), u32> = HashMap::with_capacity(rows.len());
    let name = shape.measure_name(page.measure);
    for row in rows {
        let entity =
            index.get(row.entity_id.as_str()).copied().filter(|entity| page.entities.contains(entity));
        let Some(entity) = entity else {
            verification.note(Fault::Foreign, || format!("{name}: {row:?}"));
            continue;
        };
        if let Some(bucket) = shape.bucket_at(row.time_ms) {
            let times = seen.entry((bucket, entity)).or_insert(0);
            *times += 1;
            if *times > 1 {
                verification.note(Fault::Duplicated, || format!("{name}: {row:?}"));
                continue;
            }
        }
        if let Err(fault) = judge_row(shape, ledger, page.measure, entity, row) {
            verification.note(fault, || format!("{name}: {row:?}"));
        }
    }
    for bucket in page.buckets.clone() {
        for entity in page.entities.clone() {
            let point = u64::from(page.measure) * u64::from(shape.options.entities) + u64::from(entity);
            let Some(version) = ledger.acknowledged_version(bucket, point) else { continue };
            verification.expected += 1;
            if !seen.contains_key(&(bucket, entity)) {
                verification.note(Fault::Lost, || {
                    format!("{name} entity {entity} bucket {bucket} version {version}")
                });
            }
        }
    }
    verification
}

/// Reads everything that the ledger knows and compares.
pub async fn verify_all(
    connections: &Connections,
    shape: &Shape,
    ledger: &Ledger,
) -> Result<Verification, String> {
    let index: HashMap<&str, u32> = (0..shape.options.entities).map(|e| (shape.entity_id(e), e)).collect();
    let mut total = Verification::default();
    for page in pages(shape.options.measures, shape.options.entities, ledger.buckets_end()) {
        // Twice the page: a duplicate must not hide behind the limit.
        let limit = (page.points() * 2 + 1) as u32;
        let buckets = page.buckets.start..=page.buckets.end - 1;
        let request = rows_request(shape, page.measure, page.entities.clone(), buckets, limit);
        let rows = read_rows(connections.take()?, &request).await?;
        total.absorb(verify_page(shape, ledger, &index, &page, &rows));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Acknowledged;
    use crate::plan::{Chunking, WorkItem};
    use crate::shape::tests::small_shape;

    const ENTITIES: u32 = 3;

    /// Two measures, three entities, two buckets; every point written twice and acknowledged.
    fn written() -> (Shape, Ledger) {
        let shape = small_shape(2, ENTITIES);
        let mut ledger = Ledger::new(Chunking { points_per_bucket: 6, points_per_stream: 6 });
        for (bucket, pass) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let item = WorkItem { bucket, chunk: 0, pass };
            let first_id = u64::from(bucket) * 1_000 + u64::from(pass) * 100 + 10;
            ledger.sent(item, first_id);
            ledger.acknowledged(item, first_id, Acknowledged::All);
        }
        (shape, ledger)
    }

    fn row(shape: &Shape, measure: u32, entity: u32, bucket: u32, pass: u32) -> Row {
        let point = measure * ENTITIES + entity;
        Row {
            entity_id: shape.entity_id(entity).to_owned(),
            service_id: Some(service_id(entity)),
            layer: Some(layer_of_entity(entity).to_owned()),
            attr1_is_null: true,
            time_ms: shape.time_ms(bucket),
            version: i64::from(bucket * 1_000 + pass * 100 + 10 + point),
            values: Some(shape.values(measure, entity, bucket, pass)),
        }
    }

    fn check(change: impl FnOnce(&mut Vec<Row>)) -> Verification {
        let (shape, ledger) = written();
        let index = (0..ENTITIES).map(|e| (shape.entity_id(e), e)).collect();
        let page = Page { measure: 1, entities: 0..ENTITIES, buckets: 0..2 };
        let mut rows: Vec<Row> = (0..2)
            .flat_map(|bucket| (0..ENTITIES).map(move |entity| (bucket, entity)))
            .map(|(bucket, entity)| row(&shape, 1, entity, bucket, 1))
            .collect();
        change(&mut rows);
        verify_page(&shape, &ledger, &index, &page, &rows)
    }

    #[test]
    fn last_writes_of_every_point_are_clean() {
        let verification = check(|_| {});
        assert!(verification.is_clean(), "{:?}", verification.texts);
        assert_eq!((verification.rows, verification.expected), (6, 6));
    }

    #[test]
    fn every_kind_of_fault_is_found_and_told_apart() {
        assert_eq!(check(|rows| drop(rows.pop())).lost, 1);
        let duplicated = check(|rows| rows.push(rows[0].clone()));
        assert_eq!((duplicated.duplicated, duplicated.faults()), (1, 1));
        let stale = check(|rows| rows[0] = row(&written().0, 1, 0, 0, 0));
        assert_eq!((stale.stale, stale.faults()), (1, 1));
        let altered = check(|rows| {
            if let Some(values) = &mut rows[2].values {
                values.count += 1;
            }
        });
        assert_eq!((altered.altered, altered.faults()), (1, 1));
        assert_eq!(check(|rows| rows[1].layer = None).altered, 1);
        assert_eq!(check(|rows| rows[1].attr1_is_null = false).altered, 1);
        let mixed = check(|rows| rows[0].values = rows[1].values);
        assert_eq!((mixed.altered, mixed.faults()), (1, 1), "values of another series");
    }

    #[test]
    fn rows_that_nobody_wrote_are_foreign() {
        assert_eq!(check(|rows| rows[0].version = 5).foreign, 1);
        assert_eq!(check(|rows| rows[0].time_ms += 1).foreign, 1);
        assert_eq!(check(|rows| rows[0].entity_id.push('x')).foreign, 1);
    }

    #[test]
    fn pages_cover_every_point_once_within_the_limit() {
        for (measures, entities, buckets) in [(2, 450, 120), (1, 1, 3), (1, 5, 0), (3, 10_000, 2)] {
            let mut points = 0;
            for page in pages(measures, entities, buckets) {
                assert!((1..=PAGE_POINTS_MAX).contains(&page.points()), "{page:?}");
                points += page.points();
            }
            assert_eq!(points, u64::from(measures) * u64::from(entities) * u64::from(buckets));
        }
    }
}
