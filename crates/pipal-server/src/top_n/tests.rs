//! Windows from a write stream to the answer of a query, on a whole server without a network.

use super::*;
use crate::api::common::Metadata;
use crate::api::measure::{TopNList, TopNRequest};
use crate::api::model::{AggregationFunction, Condition, Criteria, Sort, Str, TagValue, TimeRange};
use crate::api::model::{condition::BinaryOp, criteria::Exp, field_value, tag_value};
use crate::measure::testing::{MessageBuilder, NOW_MS, World, measure, point};
use pipal_model::{MemoryLedger, Share};
use proptest::prelude::*;
use prost_types::Timestamp;

fn metadata(name: &str) -> Option<Metadata> {
    Some(Metadata { group: "g".into(), name: name.into(), ..Metadata::default() })
}

fn aggregation(name: &str) -> TopNAggregation {
    TopNAggregation {
        metadata: metadata(name),
        source_measure: metadata("src"),
        field_name: "v".into(),
        counters_number: 1_000,
        lru_size: 20,
        ..TopNAggregation::default()
    }
}

/// A world with measure `src` (entity zone and host, tag kind, fields v and f) and these aggregations.
async fn world(aggregations: Vec<TopNAggregation>) -> World {
    let source = measure("src")
        .family("d", &["zone:str", "host:str", "kind:str"])
        .entity(&["zone", "host"])
        .fields(&["v:int", "f:float"])
        .build();
    let world = World::with(vec![source]).await;
    for aggregation in aggregations {
        world.registry.create(aggregation).await.unwrap();
    }
    world
}

/// A row of a window that began some minutes ago.
fn row(minutes: i64, zone: &str, host: &str, value: &str) -> MessageBuilder {
    point(1, minutes).to("src").tags(&[zone, host, "k1"]).fields(&[value, "0.5"])
}

async fn write(world: &World, rows: Vec<MessageBuilder>) {
    let count = rows.len();
    let exchange = world.write(rows).await;
    assert_eq!((exchange.replies.len(), exchange.end), (count, None));
    assert!(exchange.replies.iter().all(|(_, status)| *status == "STATUS_SUCCEED"), "{:?}", exchange.replies);
}

fn minutes_ago(minutes: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: NOW_MS / 1_000 - minutes * 60, nanos: 0 })
}

fn request(name: &str, direction: Sort, agg: AggregationFunction, top_n: i32) -> TopNRequest {
    TopNRequest {
        groups: vec!["g".into()],
        name: name.into(),
        time_range: Some(TimeRange { begin: minutes_ago(60), end: minutes_ago(-60) }),
        top_n,
        agg: agg as i32,
        field_value_sort: direction as i32,
        ..TopNRequest::default()
    }
}

/// `a/h1=9 b/h2=8`, as far as the items have entity and value.
fn show(lists: &[TopNList]) -> String {
    let text = |value: Option<&TagValue>| match value.and_then(|value| value.value.as_ref()) {
        Some(tag_value::Value::Str(text)) => text.value.clone(),
        _ => "-".to_owned(),
    };
    let items = lists.iter().flat_map(|list| &list.items);
    let items = items.map(|item| {
        let entity: Vec<String> = item.entity.iter().map(|tag| text(tag.value.as_ref())).collect();
        let value = match item.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(field_value::Value::Int(number)) => number.value.to_string(),
            Some(field_value::Value::Float(number)) => format!("{:?}", number.value),
            _ => "?".to_owned(),
        };
        format!("{}={value}", entity.join("/"))
    });
    items.collect::<Vec<_>>().join(" ")
}

async fn ask(world: &World, request: TopNRequest) -> String {
    show(&world.queries.top_n(request).await.unwrap().response.lists)
}

async fn falling(world: &World, name: &str) -> String {
    ask(world, request(name, Sort::Desc, AggregationFunction::Max, 100)).await
}

/// The rows of the worked example of the specification, 4.8.
fn example() -> Vec<MessageBuilder> {
    vec![
        row(20, "a", "h1", "5"),
        row(20, "b", "h2", "8"),
        row(19, "a", "h1", "9"),
        row(19, "b", "h2", "2"),
        row(18, "a", "h3", "4"),
    ]
}

#[tokio::test]
async fn the_worked_example() {
    use AggregationFunction::{Count, Max, Mean, Min, Sum, Unspecified};
    let world = world(vec![aggregation("all")]).await;
    write(&world, example()).await;
    assert_eq!(falling(&world, "all").await, "", "nothing is visible before it is published");
    world.top_n.tick();
    for agg in [Max, Sum, Mean] {
        assert_eq!(ask(&world, request("all", Sort::Desc, agg, 2)).await, "a/h1=9 b/h2=8", "{agg:?}");
    }
    assert_eq!(ask(&world, request("all", Sort::Asc, Min, 2)).await, "b/h2=2 a/h3=4");
    assert_eq!(ask(&world, request("all", Sort::Desc, Count, 2)).await, "a/h1=1 b/h2=1");
    let one_window = TopNRequest {
        time_range: Some(TimeRange { begin: minutes_ago(20), end: minutes_ago(20) }),
        ..request("all", Sort::Desc, Unspecified, 5)
    };
    let lists = world.queries.top_n(one_window).await.unwrap().response.lists;
    assert_eq!(show(&lists), "b/h2=8 a/h1=5");
    assert!(lists[0].timestamp.is_none() && lists[0].items.iter().all(|i| i.timestamp == minutes_ago(20)));
    assert!(lists[0].items.iter().all(|item| item.version > 0));
    assert_eq!(ask(&world, request("all", Sort::Desc, Max, i32::MAX)).await, "a/h1=9 b/h2=8 a/h3=4");
}

#[tokio::test]
async fn a_changed_window_is_published_with_the_next_tick_and_not_again() {
    let world = world(vec![aggregation("all")]).await;
    write(&world, vec![row(1, "a", "h1", "5")]).await;
    world.top_n.tick();
    assert_eq!(falling(&world, "all").await, "a/h1=5");
    // A smaller version at the same time changes nothing; a later row counts although it is worse.
    write(&world, vec![row(1, "a", "h1", "9").version(-1), row(1, "a", "h2", "6")]).await;
    write(&world, vec![row(1, "a", "h2", "3").at(NOW_MS / 1_000 - 59, 0)]).await;
    world.top_n.tick();
    assert_eq!(falling(&world, "all").await, "a/h1=5 a/h2=3");
    let stored = world.rows("_top_n_result").await;
    world.top_n.tick();
    assert_eq!(world.rows("_top_n_result").await, stored, "nothing changed, nothing is published");
    assert_eq!(stored.len(), 2, "two directions of one window: {stored:?}");
}

#[tokio::test]
async fn rows_count_only_when_they_are_stored() {
    let world = world(vec![aggregation("all")]).await;
    *world.sink.failure.lock() = Some(pipal_model::ErrorKind::DiskFull);
    let exchange = world.write(vec![row(1, "a", "h1", "5")]).await;
    assert_eq!(exchange.replies, [(1, "STATUS_DISK_FULL")]);
    *world.sink.failure.lock() = None;
    write(&world, vec![row(1, "a", "h2", "4")]).await;
    world.top_n.tick();
    assert_eq!(falling(&world, "all").await, "a/h2=4");
}

#[tokio::test]
async fn rows_before_the_aggregation_are_not_counted() {
    let world = world(vec![]).await;
    write(&world, vec![row(1, "a", "h1", "5")]).await;
    world.registry.create(aggregation("all")).await.unwrap();
    world.top_n.tick();
    assert_eq!(falling(&world, "all").await, "");
    write(&world, vec![row(1, "a", "h2", "4")]).await;
    world.top_n.tick();
    assert_eq!(falling(&world, "all").await, "a/h2=4");
    // Nor after a restart, in windows that had no row since.
    write(&world, vec![row(2, "a", "h3", "3")]).await;
    let world = world.killed().await;
    world.top_n.tick();
    assert_eq!(falling(&world, "all").await, "a/h2=4 a/h3=3");
}

#[tokio::test]
async fn conditions_select_ranking_groups_and_the_others_are_refused() {
    let by_kind = TopNAggregation { group_by_tag_names: vec!["kind".into()], ..aggregation("by") };
    let world = world(vec![by_kind]).await;
    let of_kind = |host: &str, kind: &str, value: &str| {
        point(1, 1).to("src").tags(&["a", host, kind]).fields(&[value, "-"])
    };
    write(&world, vec![of_kind("h1", "k1", "5"), of_kind("h2", "-", "6"), of_kind("h3", "k2", "7")]).await;
    world.top_n.tick();
    let with = |op: BinaryOp, name: &str, literal: tag_value::Value| {
        let value = Some(TagValue { value: Some(literal) });
        let condition = Condition { name: name.into(), op: op as i32, value, ..Condition::default() };
        TopNRequest { conditions: vec![condition], ..request("by", Sort::Desc, AggregationFunction::Max, 9) }
    };
    let text = |text: &str| tag_value::Value::Str(Str { value: text.into() });
    assert_eq!(falling(&world, "by").await, "a/h3=7 a/h2=6 a/h1=5");
    assert_eq!(ask(&world, with(BinaryOp::Eq, "kind", text("k1"))).await, "a/h1=5");
    assert_eq!(ask(&world, with(BinaryOp::Eq, "kind", tag_value::Value::Null(0))).await, "a/h2=6");
    assert_eq!(ask(&world, with(BinaryOp::Eq, "kind", text("k9"))).await, "");
    for (request, want) in [
        (with(BinaryOp::Ne, "kind", text("k1")), "only supports EQ operation"),
        (with(BinaryOp::Eq, "zone", text("a")), "only groupBy tag name is supported"),
    ] {
        let status = world.queries.top_n(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unknown);
        assert!(status.message().contains(want), "{status:?}");
        assert!(status.message().contains("fail to analyze the query request for topn by"), "{status:?}");
    }
}

#[tokio::test]
async fn requests_that_have_an_empty_answer() {
    let only = TopNAggregation { field_value_sort: Sort::Desc as i32, ..aggregation("desc") };
    let world = world(vec![only]).await;
    write(&world, example()).await;
    world.top_n.tick();
    let max = AggregationFunction::Max;
    for request in [
        request("ghost", Sort::Desc, max, 1),
        request("desc", Sort::Unspecified, max, 1),
        request("desc", Sort::Asc, max, 1),
        TopNRequest { groups: vec!["ghost".into()], ..request("desc", Sort::Desc, max, 1) },
    ] {
        assert_eq!(world.queries.top_n(request).await.unwrap().response.lists, []);
    }
    let unaggregated = request("desc", Sort::Asc, AggregationFunction::Unspecified, 1);
    assert_eq!(world.queries.top_n(unaggregated).await.unwrap().response.lists, [TopNList::default()]);
    for request in [
        request("desc", Sort::Desc, max, 0),
        TopNRequest { groups: vec![], ..request("desc", Sort::Desc, max, 1) },
        TopNRequest { time_range: None, ..request("desc", Sort::Desc, max, 1) },
    ] {
        let status = world.queries.top_n(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    }
    let traced = TopNRequest { trace: true, ..request("desc", Sort::Desc, max, 1) };
    let trace = world.queries.top_n(traced).await.unwrap().response.trace.unwrap();
    assert_eq!(trace.spans[0].message, "topn-grpc");
}

#[tokio::test]
async fn late_rows_of_open_windows_count_and_those_of_closed_windows_do_not() {
    let two = TopNAggregation { lru_size: 2, ..aggregation("two") };
    let world = world(vec![two]).await;
    write(&world, vec![row(50, "a", "h1", "1"), row(40, "a", "h2", "2"), row(30, "a", "h3", "3")]).await;
    world.top_n.tick();
    write(&world, vec![row(50, "a", "closed", "9"), row(45, "a", "late", "9"), row(40, "a", "open", "8")])
        .await;
    world.top_n.tick();
    let want = "a/open=8 a/h3=3 a/h2=2 a/h1=1";
    assert_eq!(falling(&world, "two").await, want);
    // After a restart the same windows are open.
    let world = world.killed().await;
    write(&world, vec![row(50, "a", "closed", "9"), row(45, "a", "late", "9"), row(30, "a", "more", "7")])
        .await;
    world.top_n.tick();
    assert_eq!(falling(&world, "two").await, "a/open=8 a/more=7 a/h3=3 a/h2=2 a/h1=1");
    // Rows of the future close no window that the clock has in sight.
    write(&world, vec![row(-30, "a", "f1", "0"), row(-40, "a", "f2", "0")]).await;
    write(&world, vec![row(1, "a", "now", "6")]).await;
    world.top_n.tick();
    assert_eq!(falling(&world, "two").await, "a/open=8 a/more=7 a/now=6 a/h3=3 a/h2=2 a/h1=1 a/f1=0 a/f2=0");
}

#[tokio::test]
async fn a_definition_follows_the_registry() {
    let world = world(vec![aggregation("all")]).await;
    write(&world, vec![row(1, "a", "h1", "5")]).await;
    world.top_n.tick();
    world.registry.delete::<TopNAggregation>("g", "all").await.unwrap();
    assert_eq!(falling(&world, "all").await, "");
    write(&world, vec![row(1, "a", "h2", "4")]).await;
    world.registry.create(aggregation("all")).await.unwrap();
    assert_eq!(falling(&world, "all").await, "a/h1=5", "old results are visible again");
    // Rows that arrive while the definition changes are counted by the new one.
    write(&world, vec![row(2, "a", "h3", "3")]).await;
    let value = Some(TagValue { value: Some(tag_value::Value::Str(Str { value: "k2".into() })) });
    let condition = Condition { name: "kind".into(), op: BinaryOp::Eq as i32, value, ..Condition::default() };
    let criteria = Some(Criteria { exp: Some(Exp::Condition(condition)) });
    world.registry.update(TopNAggregation { criteria, ..aggregation("all") }).await.unwrap();
    world.top_n.tick();
    assert_eq!(falling(&world, "all").await, "a/h1=5", "the new criteria exclude it");
}

#[tokio::test]
async fn a_window_without_room_in_memory_is_published_all_the_same() {
    let mut world = world(vec![aggregation("all")]).await;
    let (engine, registry) = (world.queries.engine.clone(), world.registry.clone());
    world.top_n =
        TopN::new(engine, registry, world.clock.clone(), &MemoryLedger::unlimited().share(Share::TopN, 0));
    world.context.top_n = world.top_n.clone();
    write(&world, example()).await;
    world.top_n.tick();
    assert_eq!(falling(&world, "all").await, "a/h1=9 b/h2=8 a/h3=4");
    write(&world, vec![row(18, "b", "h4", "7")]).await;
    world.top_n.tick();
    assert_eq!(falling(&world, "all").await, "a/h1=9 b/h2=8 b/h4=7 a/h3=4");
    assert_eq!(world.top_n.0.processor.lock().used(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(i64, u8, i64, i64)>),
    Tick,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let written = (0i64..4, 0u8..4, -5i64..9, 1i64..4);
    let step = prop_oneof![
        4 => prop::collection::vec(written, 1..5).prop_map(Step::Write),
        2 => Just(Step::Tick),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..12)
}

async fn play(steps: &[Step], with_kills: bool) -> Vec<String> {
    let few = TopNAggregation { counters_number: 2, ..aggregation("few") };
    let mut world = world(vec![aggregation("all"), few]).await;
    for step in steps {
        match step {
            Step::Write(rows) => {
                let message = |(minutes, host, value, version): &(i64, u8, i64, i64)| {
                    row(*minutes, "z", &format!("h{host}"), &value.to_string()).version(*version)
                };
                write(&world, rows.iter().map(message).collect()).await;
            }
            Step::Tick => world.top_n.tick(),
            Step::Kill if with_kills => world = world.killed().await,
            Step::Kill => {}
        }
    }
    world.top_n.tick();
    let mut answers = Vec::new();
    for name in ["all", "few"] {
        for direction in [Sort::Desc, Sort::Asc] {
            for minutes in 0..4 {
                let time_range = Some(TimeRange { begin: minutes_ago(minutes), end: minutes_ago(minutes) });
                let request = request(name, direction, AggregationFunction::Max, 100);
                answers.push(ask(&world, TopNRequest { time_range, ..request }).await);
            }
        }
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever the moments at which the process is killed, the rankings are those of an uninterrupted run.
    #[test]
    fn rankings_after_kills_are_those_of_an_uninterrupted_run(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (killed, uninterrupted) =
            runtime.block_on(async { (play(&steps, true).await, play(&steps, false).await) });
        prop_assert_eq!(killed, uninterrupted);
    }
}
