use super::super::summary::{CUT_SLACK, Summary};
use super::*;
use pipal_query::top_n::decode;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A definition as far as rankings need it.
fn definition(counters: usize, directions: &[Direction]) -> Definition {
    Definition::for_rankings(counters, directions.to_vec())
}

#[derive(Clone, Debug)]
struct TestRow {
    series: u8,
    time: i64,
    version: i64,
    rank: Option<(u8, i64)>,
}

fn any_row() -> impl Strategy<Value = TestRow> {
    let rank = prop::option::weighted(0.8, (0u8..2, -3i64..4));
    (0u8..6, 0i64..3, 0i64..4, rank).prop_map(|(series, time, version, rank)| TestRow {
        series,
        time,
        version,
        rank,
    })
}

fn view<'a>(row: &TestRow, entity: &'a mut [u8; 1], group: &'a mut [u8; 1]) -> WindowRow<'a> {
    *entity = [row.series];
    *group = [row.rank.map_or(b'-', |(group, _)| group)];
    let (time, version) = (row.time, row.version);
    WindowRow { entity, time, version, group, rank: row.rank.map(|(_, value)| Number::Int(value)) }
}

type Rankings = BTreeMap<(Vec<u8>, Direction), Vec<(Vec<u8>, i64)>>;

fn readable(rankings: Vec<Ranking>) -> Rankings {
    let value = |number: Number| match number {
        Number::Int(value) => value,
        Number::Float(_) => panic!("all values are integers"),
    };
    let entries = |bytes: &[u8]| {
        decode(bytes).unwrap().into_iter().map(|(entity, number)| (entity.to_vec(), value(number))).collect()
    };
    rankings.into_iter().map(|r| ((r.group, r.direction), entries(&r.bytes))).collect()
}

/// What storage holds of the rows: of each series and time the greatest version, of equal ones the last.
fn stored(rows: &[TestRow]) -> Vec<TestRow> {
    let mut stored: BTreeMap<(u8, i64), TestRow> = BTreeMap::new();
    for row in rows {
        let kept = stored.entry((row.series, row.time)).or_insert_with(|| row.clone());
        if row.version >= kept.version {
            *kept = row.clone();
        }
    }
    stored.into_values().collect()
}

/// The rankings that the stored rows have by definition; groups without entries are left out.
fn model(rows: &[TestRow], counters: usize, directions: &[Direction]) -> Rankings {
    let mut latest: BTreeMap<(u8, u8), i64> = BTreeMap::new();
    // By series and then by time: the last one counts.
    for row in stored(rows) {
        if let Some((group, value)) = row.rank {
            latest.insert((group, row.series), value);
        }
    }
    let mut rankings = Rankings::new();
    for direction in directions {
        for ((group, series), value) in &latest {
            rankings.entry((vec![*group], *direction)).or_default().push((vec![*series], *value));
        }
    }
    for ((_, direction), entries) in &mut rankings {
        entries.sort_by_key(|(series, value)| match direction {
            Direction::Desc => (-value, series.clone()),
            Direction::Asc => (*value, series.clone()),
        });
        entries.truncate(counters);
    }
    rankings
}

fn any_directions() -> impl Strategy<Value = Vec<Direction>> {
    prop::sample::select(vec![
        vec![Direction::Desc],
        vec![Direction::Asc],
        vec![Direction::Desc, Direction::Asc],
    ])
}

proptest! {
    /// Rows arrive in any order and are published at any moments; what was published last is what the stored rows
    /// say.
    #[test]
    fn published_rankings_are_those_of_the_stored_rows(
        rows in prop::collection::vec((any_row(), any::<bool>()), 0..40),
        counters in 1usize..5,
        directions in any_directions(),
    ) {
        let definition = definition(counters, &directions);
        let (mut window, mut published) = (Rows::default(), Rankings::new());
        let (mut entity, mut group) = ([0], [0]);
        for (row, publishes) in &rows {
            window.apply(view(row, &mut entity, &mut group));
            if *publishes {
                published.extend(readable(window.rankings(&definition)));
                window.set_published();
            }
        }
        published.extend(readable(window.rankings(&definition)));
        published.retain(|_, entries| !entries.is_empty());
        let rows: Vec<TestRow> = rows.into_iter().map(|(row, _)| row).collect();
        prop_assert_eq!(published, model(&rows, counters, &directions));
    }

    /// A window that memory has no room for is read series by series, and tells the same.
    #[test]
    fn a_summary_of_the_stored_rows_tells_the_same(
        rows in prop::collection::vec(any_row(), 0..40),
        counters in 1usize..5,
        directions in any_directions(),
    ) {
        let definition = definition(counters, &directions);
        let mut summary = Summary::new(&definition);
        let (mut entity, mut group) = ([0], [0]);
        for row in stored(&rows) {
            summary.apply(view(&row, &mut entity, &mut group));
        }
        prop_assert_eq!(readable(summary.rankings()), model(&rows, counters, &directions));
    }
}

#[test]
fn a_summary_of_many_series_is_cut_on_the_way_and_keeps_both_ends() {
    let definition = definition(3, &[Direction::Desc, Direction::Asc]);
    let mut summary = Summary::new(&definition);
    let count = 20_000u32;
    for i in 0..count {
        // An order in which the best come neither first nor last.
        let value = i64::from(i.wrapping_mul(7_919) % count);
        let entity = i.to_be_bytes();
        summary.apply(WindowRow {
            entity: &entity,
            time: 1,
            version: 1,
            group: b"",
            rank: Some(Number::Int(value)),
        });
    }
    assert!(summary.groups.values().all(|entries| entries.len() <= 2 * 3 + CUT_SLACK));
    let values: Vec<Vec<i64>> =
        readable(summary.rankings()).into_values().map(|e| e.into_iter().map(|(_, v)| v).collect()).collect();
    assert_eq!(values, [vec![19_999, 19_998, 19_997], vec![0, 1, 2]]);
}

#[test]
fn a_value_that_is_replaced_by_a_worse_one_lets_a_dropped_series_back_in() {
    let definition = definition(1, &[Direction::Desc]);
    let mut window = Rows::default();
    let mut row = |entity: &[u8], time, value| {
        window.apply(WindowRow { entity, time, version: 1, group: b"", rank: Some(Number::Int(value)) });
        let rankings = readable(window.rankings(&definition));
        window.set_published();
        rankings.into_values().next().unwrap()
    };
    assert_eq!(row(b"a", 1, 5), [(b"a".to_vec(), 5)]);
    assert_eq!(row(b"b", 1, 7), [(b"b".to_vec(), 7)]);
    assert_eq!(row(b"b", 2, 3), [(b"a".to_vec(), 5)]);
}
