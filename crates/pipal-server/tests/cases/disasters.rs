//! Disasters of the reference that take many rows, or a look at more than the answer. The others are case files below
//! `data/disasters`.

use crate::play::{play_text, world_of};
use crate::values::{BASE, timestamp};
use crate::world::STATES;
use pipal_api::measure::v1::TopNRequest;
use pipal_api::model::v1::{Sort, TimeRange};

/// A table whose rows are made.
fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    rows.fold(format!("  {head}\n"), |text, row| text + &format!("  {row}\n"))
}

/// The reference cuts a time-ordered answer to `limit` before it filters, so that a rare match is not found.
#[test]
fn a_limit_of_elements_is_filled_when_matching_rows_exist() {
    let rows = table(
        "@time | @id | svc | k | n",
        (0..300).map(|i| format!("+{i}s | {i} | s | {} | {i}", i64::from(i >= 295))),
    );
    play_text(&format!(
        "group g stream shards 1\n\
         stream g/s\n  tags d: svc str, k int, n int\n  entity svc\n\
         write g/s\n{rows}\
         query the last rows are the only ones\n  from g/s show n where k = 1 limit 2\n  -> 295 ; 296\n\
         query in one series\n  from g/s show n where svc = 's' AND k = 1 limit 4 offset 1\n  -> 296 ; 297 ; 298 ; 299\n\
         query newest first\n  from g/s show n where k = 0 order time desc limit 2\n  -> 294 ; 293\n"
    ));
}

/// The same for ordered traces, whose cut comes before the conditions on spans.
#[test]
fn a_limit_of_traces_is_filled_when_matching_spans_exist() {
    let rows = table(
        "id | svc | note | span | at",
        (0..200).map(|i| format!("t{i:03} | s | {} | s{i} | +{i}s", if i >= 195 { "rare" } else { "often" })),
    );
    play_text(&format!(
        "group g trace\n\
         trace g/t\n  tags id str, svc str, note str, span str, at time\n  ids id span at\n  rule at tree svc at\n\
         write g/t\n{rows}\
         query by a tag\n  from g/t where note = 'rare' order at asc limit 2\n  -> t195 ; t196\n\
         query by a span id\n  from g/t where span IN ['s198'] order at asc limit 1\n  -> t198\n\
         query falling\n  from g/t where note = 'often' order at desc limit 1 offset 1\n  -> t193\n"
    ));
}

/// Outdated and deleted versions crowd out live documents, and a Delete stops after 100 documents per shard.
#[test]
fn dead_versions_of_documents_crowd_out_nothing() {
    let many = table("@id | n", (0..130).map(|i| format!("d{i} | {i}")));
    let again = table("@id | n", (0..120).map(|i| format!("live | {i}")));
    play_text(&format!(
        "group g property shards 1\n\
         property g/p\n  tags n int\n\
         apply g/p\n{many}\
         delete g/p\n\
         query all of a name are deleted\n  from g/p limit max\n  -> nothing\n\
         apply g/p\n{again}\
         query the live one is found among 250 dead versions\n  from g/p limit 1\n  -> live n=119\n\
         apply g/p\n  @id | n\n  next | 7\n\
         query and so is another\n  from g/p limit 2 order n asc\n  -> next n=7 ; live n=119\n"
    ));
}

/// The reference takes 16 GiB for a Top-N query of 2147483647 places before it looks at the data.
#[test]
fn a_top_n_of_all_integers_takes_memory_for_what_is_there() {
    let rows = "group g measure\n\
         measure g/m\n  tags d: host str\n  entity host\n  fields v int\n\
         topn g/hot\n  of m v both\n\
         write g/m\n  @time | host | v\n  0s | a | 5\n  +1s | b | 7\n";
    play_text(&format!(
        "{rows}\
         query all places\n  from g/hot best 2147483647 desc agg max\n  -> b 7 ; a 5\n\
         query all rows, ranked\n  from g/m show host v top 2147483647 v desc\n  -> b 7 ; a 5\n"
    ));
    let time_range = Some(TimeRange { begin: Some(timestamp(0)), end: Some(timestamp(2 * BASE)) });
    let request = TopNRequest {
        groups: vec!["g".into()],
        name: "hot".into(),
        time_range,
        top_n: i32::MAX,
        field_value_sort: Sort::Desc as i32,
        ..TopNRequest::default()
    };
    for state in STATES {
        let (runtime, world) = world_of(state, rows);
        let answer = runtime.block_on(world.open().queries.top_n(request.clone())).unwrap();
        let items = &answer.response.lists[0].items;
        assert_eq!(items.len(), 2, "{state:?}");
        assert!(items.capacity() < 1_000, "{state:?}: room for {}", items.capacity());
        assert!(answer.memory.held() < 1 << 20, "{state:?}: {} bytes", answer.memory.held());
    }
}
