use super::super::codec::WriteCodec;
use crate::measure::testing::{Exchange, MessageBuilder, World, measure, point};
use crate::registry::DeleteGroup;
use pipal_model::ErrorKind;
use std::time::Duration;
use tonic::Code;

const OK: &str = "STATUS_SUCCEED";
const INTERNAL: &str = "STATUS_INTERNAL_ERROR";
const BAD_TIME: &str = "STATUS_INVALID_TIMESTAMP";

/// Measure `m`: tags id, host (entity), note; a second family with x; fields cnt and lat.
async fn world() -> World {
    let m = measure("m")
        .family("d", &["id:str", "host:str", "note:int"])
        .family("e", &["x:str"])
        .entity(&["host"])
        .fields(&["cnt:int", "lat:int"])
        .build();
    World::with(vec![m]).await
}

/// A good message for measure `m`.
fn good(id: u64) -> MessageBuilder {
    point(id, 10).to("m").tags(&["id", "host", "1"]).fields(&["1", "2"])
}

fn replies(exchange: &Exchange) -> &[(u64, &'static str)] {
    assert_eq!(exchange.end, None);
    &exchange.replies
}

#[tokio::test]
async fn rejections_overtake_successes_and_the_stream_goes_on() {
    let world = world().await;
    let exchange = world.write(vec![good(1), good(2).at(1, 1_000), good(3)]).await;
    assert_eq!(replies(&exchange), [(2, BAD_TIME), (1, OK), (3, OK)]);
    assert_eq!(*world.sink.commits.lock(), [2], "one batch for the stream");
    assert_eq!(world.write(vec![]).await, Exchange::default());
    assert_eq!(*world.sink.commits.lock(), [2], "nothing is handed over for an empty stream");
}

#[tokio::test]
async fn replies_carry_the_metadata_in_force_as_it_was_sent() {
    use tokio_stream::StreamExt;
    let world = world().await;
    let messages = [good(1), good(2).with(|m| m.metadata = None), good(3).of_group("g", "none", 0)];
    let requests = messages.iter().map(|m| Ok(m.encode()));
    let replies: Vec<_> = world.stream(tokio_stream::iter(requests.collect::<Vec<_>>())).collect().await;
    let shown: Vec<_> = replies.into_iter().map(|reply| WriteCodec::decoded(&reply.unwrap())).collect();
    let names: Vec<_> =
        shown.iter().map(|r| (r.message_id, &*r.status, r.metadata.clone().unwrap().name)).collect();
    assert_eq!(names, [(3, INTERNAL, "none".into()), (1, OK, "m".into()), (2, OK, "m".into())]);
}

#[tokio::test]
async fn a_broken_envelope_ends_the_stream_and_what_was_accepted_is_stored_and_answered() {
    let required = "embedded message failed validation | caused by: invalid DataPointValue.";
    let cases: [(MessageBuilder, Code, String); 5] = [
        (
            good(2).with(|m| m.data_point = None),
            Code::InvalidArgument,
            "invalid WriteRequest.DataPoint: value is required".into(),
        ),
        (
            good(2).with(|m| m.data_point.as_mut().unwrap().timestamp = None),
            Code::InvalidArgument,
            format!("invalid WriteRequest.DataPoint: {required}Timestamp: value is required"),
        ),
        (
            point(2, 1).to("m"),
            Code::InvalidArgument,
            format!(
                "invalid WriteRequest.DataPoint: {required}TagFamilies: value must contain at least 1 item(s)"
            ),
        ),
        (
            good(0),
            Code::InvalidArgument,
            "invalid WriteRequest.MessageId: value must be greater than 0".into(),
        ),
        (
            point(0, 1).to("m").with(|m| m.data_point = None),
            Code::InvalidArgument,
            "invalid WriteRequest.DataPoint: value is required; \
             invalid WriteRequest.MessageId: value must be greater than 0"
                .into(),
        ),
    ];
    for (message, code, text) in cases {
        let world = world().await;
        let exchange = world.write(vec![good(1), message, good(3)]).await;
        assert_eq!(exchange, Exchange { replies: vec![(1, OK)], end: Some((code, text)) });
        assert_eq!(world.rows("m").await, ["-10m v1 | id host 1 - | 1 2"]);
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_stream() {
    let world = world().await;
    let exchange = world.play(vec![Ok(good(1).encode()), Ok(vec![0x0a, 0xff].into())]).await;
    assert_eq!((exchange.replies, exchange.end.unwrap().0), (vec![(1, OK)], Code::Internal));
}

#[tokio::test]
async fn a_first_message_without_metadata_ends_the_stream() {
    let world = world().await;
    let exchange = world.write(vec![point(1, 1).tags(&["a", "b"])]).await;
    let text = "metadata is required for the first request of gRPC stream".to_owned();
    assert_eq!(exchange, Exchange { replies: vec![], end: Some((Code::Unknown, text)) });
}

#[tokio::test]
async fn a_client_that_breaks_off_has_its_rows_stored() {
    let world = world().await;
    let broken = tonic::Status::unavailable("reset");
    let exchange = world.play(vec![Ok(good(1).encode()), Err(broken)]).await;
    assert_eq!((exchange.replies, exchange.end.unwrap().0), (vec![(1, OK)], Code::Unavailable));

    let (requests, inbox) = tokio::sync::mpsc::channel(1);
    let stream = world.stream(tokio_stream::wrappers::ReceiverStream::new(inbox));
    requests.send(Ok(good(2).encode())).await.unwrap();
    let mut stream = Box::pin(stream);
    // The message is taken, then the stream waits for more, and the call is dropped.
    let poll = std::future::poll_fn(|cx| {
        std::task::Poll::Ready(tokio_stream::Stream::poll_next(stream.as_mut(), cx))
    });
    assert!(poll.await.is_pending());
    drop(stream);
    assert_eq!(*world.sink.commits.lock(), [1, 1]);
    assert_eq!(world.rows("m").await, ["-10m v2 | id host 1 - | 1 2"]);
}

#[tokio::test]
async fn every_decision_has_its_status() {
    let world = world().await;
    let revision = world.revision("m");
    let cases: [(&str, MessageBuilder, &str); 15] = [
        ("not a whole millisecond", good(1).at(1, 1), BAD_TIME),
        ("after the year 2262", good(1).at(9_223_372_037, 0), BAD_TIME),
        ("before the year 1677", good(1).at(-9_223_372_037, 0), BAD_TIME),
        ("unknown measure", good(1).of_group("g", "none", 0), INTERNAL),
        ("unknown group", good(1).of_group("none", "m", 0), INTERNAL),
        ("unknown measure of a known revision", good(1).of_group("g", "none", 1), "STATUS_NOT_FOUND"),
        ("a bad time comes before an unknown measure", good(1).at(1, 1).of_group("g", "none", 1), BAD_TIME),
        ("older revision", good(1).of_group("g", "m", revision - 1), "STATUS_EXPIRED_SCHEMA"),
        ("newer revision", good(1).of_group("g", "m", revision + 1), "STATUS_SCHEMA_NOT_APPLIED"),
        ("same revision", good(1).of_group("g", "m", revision), OK),
        ("a negative revision says nothing", good(1).of_group("g", "m", -1), OK),
        ("entity tag beyond the end", point(1, 1).to("m").tags(&["id"]), INTERNAL),
        ("null entity tag", point(1, 1).to("m").tags(&["id", "-"]), OK),
        ("missing trailing tags and fields", point(1, 1).to("m").tags(&["id", "host"]), OK),
        ("a segment too far in the future", good(1).at(9_000_000_000, 0), OK),
    ];
    for (name, message, status) in cases {
        let exchange = world.write(vec![message]).await;
        assert_eq!(replies(&exchange), [(1, status)], "{name}");
    }
}

#[tokio::test]
async fn a_group_that_goes_refuses_every_message() {
    let world = world().await;
    let gone = DeleteGroup { group: "g".into(), force: true, ..DeleteGroup::default() };
    let state = world.registry.group("g").unwrap();
    world.registry.delete_group(gone).await.unwrap();
    assert!(state.is_deleting());
    let exchange = world.write(vec![good(1), good(2).at(1, 1).of_group("g", "m", 1)]).await;
    let statuses: Vec<_> = replies(&exchange).iter().map(|(_, status)| *status).collect();
    // Once the group is gone altogether, a revision makes the difference; until then it does not.
    assert_eq!(statuses[0], INTERNAL);
    assert!(statuses[1] == INTERNAL || statuses[1] == BAD_TIME);
    assert!(world.sink.commits.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_a_schema_that_its_client_knows_already() {
    let mut world = world().await;
    world.context.schema_wait = Duration::from_secs(2);
    let ahead = good(1).of_group("g", "m", world.revision("m") + 1);
    let started = tokio::time::Instant::now();
    let exchange = world.write(vec![ahead.clone(), good(2)]).await;
    assert_eq!(replies(&exchange), [(1, "STATUS_SCHEMA_NOT_APPLIED"), (2, OK)]);
    assert!((2_000..2_100).contains(&started.elapsed().as_millis()), "it waits just as long as it may");

    let late = measure("late").family("d", &["host:str"]).entity(&["host"]).build();
    let registry = world.registry.clone();
    let arrival = async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        registry.create(late).await.unwrap();
    };
    let (exchange, ()) = tokio::join!(world.write(vec![point(3, 1).to("late").tags(&["h"])]), arrival);
    assert_eq!(replies(&exchange), [(3, OK)], "the measure arrived in time");
    let missing = world.write(vec![point(4, 1).of_group("g", "none", 7).tags(&["h"])]).await;
    assert_eq!(
        replies(&missing),
        [(4, "STATUS_NOT_FOUND")],
        "a revision of an unknown measure does not wait"
    );
}

#[tokio::test]
async fn a_failed_commit_is_the_answer_to_all_accepted_messages() {
    let world = world().await;
    for (kind, status) in [
        (ErrorKind::DiskFull, "STATUS_DISK_FULL"),
        (ErrorKind::ReadOnly, INTERNAL),
        (ErrorKind::FailedPrecondition, INTERNAL),
    ] {
        *world.sink.failure.lock() = Some(kind);
        let exchange = world.write(vec![good(1), good(2).at(1, 1), good(3)]).await;
        assert_eq!(replies(&exchange), [(2, BAD_TIME), (1, status), (3, status)]);
    }
    assert!(world.rows("m").await.is_empty());
}

#[tokio::test]
async fn a_stream_beyond_its_bytes_refuses_messages_and_keeps_what_it_has() {
    let mut world = world().await;
    world.context.stream_bytes_max = 64 << 10;
    let large = || "x".repeat(20 << 10);
    let message = |id: u64| point(id, id as i64).to("m").tags(&[&large(), "host"]);
    let exchange = world.write(vec![message(1), message(2), message(3)]).await;
    assert_eq!(replies(&exchange), [(2, INTERNAL), (3, INTERNAL), (1, OK)]);
    assert_eq!(world.context.memory.used(), 0);
}

/// Rows that are in the engine's hands are charged there; a client that is slow to read its replies holds no more than
/// the replies.
#[tokio::test]
async fn a_stream_gives_the_memory_of_its_rows_back_once_they_are_stored() {
    use tokio_stream::StreamExt;
    let world = world().await;
    let large = "x".repeat(20 << 10);
    let message = |id: u64| point(id, id as i64).to("m").tags(&[&large, "host"]).encode();
    let requests: Vec<_> = (1..=10).map(|id| Ok(message(id))).collect();
    let mut stream = world.stream(tokio_stream::iter(requests));
    assert_eq!(stream.next().await.unwrap().unwrap().status, OK);
    assert!(world.context.memory.used() < 20 << 10, "{} bytes", world.context.memory.used());
    let rest: Vec<_> = stream.collect().await;
    assert_eq!(rest.len(), 9);
    assert_eq!(world.context.memory.used(), 0);
}

#[tokio::test]
async fn metadata_and_spec_stay_in_force_until_others_come() {
    let s = measure("s")
        .family("d", &["id:str", "host:str"])
        .entity(&["host"])
        .fields(&["cnt:int", "lat:int"])
        .build();
    let world = World::with(vec![s]).await;
    let spec = |m: MessageBuilder| m.spec(&[("d", &["host", "id"])], &["lat", "cnt"]);
    let plain = |id: u64, minutes| point(id, minutes).tags(&["h", "x"]).fields(&["7", "3"]);
    let exchange = world
        .write(vec![
            spec(plain(1, 5).to("s")),
            plain(2, 4),
            // New metadata does not clear the spec.
            plain(3, 3).to("s"),
            plain(4, 2).spec(&[("d", &["id", "host"])], &["cnt"]),
            plain(5, 1),
        ])
        .await;
    assert_eq!(replies(&exchange).len(), 5);
    assert_eq!(
        world.rows("s").await,
        [
            "-5m v1 | x h | 3 7",
            "-4m v2 | x h | 3 7",
            "-3m v3 | x h | 3 7",
            "-2m v4 | h x | 7 -",
            "-1m v5 | h x | 7 -",
        ]
    );
}

#[tokio::test]
async fn a_spec_maps_by_name() {
    let s = measure("s")
        .family("d", &["id:str", "host:str"])
        .entity(&["host"])
        .fields(&["cnt:int", "lat:int"])
        .build();
    let world = World::with(vec![s]).await;
    let message = |id, minutes, tags: &[&str], fields: &[&str], names: &[&str], numbers: &[&str]| {
        point(id, minutes).to("s").tags(tags).fields(fields).spec(&[("d", names)], numbers)
    };
    let exchange = world
        .write(vec![
            message(1, 5, &["zz", "h4"], &["9", "4"], &["ghost", "host"], &["ghost", "cnt"]),
            message(2, 4, &["x5"], &["9"], &["id", "host"], &["cnt"]),
            message(3, 3, &["x6"], &["6"], &["id"], &["cnt"]),
            message(4, 2, &["h7"], &[], &["host", "id"], &["cnt"]),
            point(5, 1)
                .to("s")
                .tags(&["h8"])
                .tags(&["x8"])
                .tags(&["y8"])
                .fields(&["8"])
                .spec(&[("none", &["host"]), ("d", &["host"]), ("none", &["id"])], &["cnt"]),
        ])
        .await;
    assert_eq!(replies(&exchange), [(2, INTERNAL), (1, OK), (3, OK), (4, OK), (5, OK)]);
    assert_eq!(
        world.rows("s").await,
        ["-5m v1 | - h4 | 4 -", "-3m v3 | x6 - | 6 -", "-2m v4 | - h7 | - -", "-1m v5 | - x8 | 8 -"]
    );
}

#[tokio::test]
async fn the_greatest_version_wins_and_the_message_id_stands_in() {
    let world = world().await;
    let version = |id: u64, version, count: &str| good(id).version(version).fields(&[count]);
    world.write(vec![version(1, 5, "1"), version(2, 9, "2")]).await;
    world.write(vec![version(3, 7, "3")]).await;
    assert_eq!(world.rows("m").await, ["-10m v9 | id host 1 - | 2 -"]);
    world.write(vec![version(11, 0, "11"), version(12, 0, "12")]).await;
    world.write(vec![version(1, 0, "99")]).await;
    assert_eq!(world.rows("m").await, ["-10m v12 | id host 1 - | 12 -"]);
    world.write(vec![good(u64::MAX).fields(&["0"])]).await;
    assert_eq!(world.rows("m").await.len(), 1, "ids are taken as signed numbers: the greatest is version -1");
}

#[tokio::test]
async fn what_does_not_fit_is_acknowledged() {
    let cases: [(&str, MessageBuilder, &[&str]); 8] = [
        ("more families than the schema", good(1).tags(&["x"]).tags(&["y"]), &[]),
        ("not after 1970", good(1).at(0, 0), &[]),
        ("an array in the entity", point(1, 10).to("m").tags(&["id", "[a b]"]), &[]),
        ("an empty array in the entity", point(1, 10).to("m").tags(&["id", "[]"]), &[]),
        (
            "an unset entity tag is null",
            point(1, 10).to("m").tags(&["id", "?"]),
            &["-10m v1 | id - - - | - -"],
        ),
        (
            "extra tags and fields",
            point(1, 10)
                .to("m")
                .tags(&["id", "host", "1", "2", "3"])
                .tags(&["x", "y"])
                .fields(&["1", "2", "3"]),
            &["-10m v1 | id host 1 x | 1 2"],
        ),
        (
            "values of other types",
            point(1, 10).to("m").tags(&["7", "host", "one"]).tags(&["[x]"]).fields(&["one", "1.5"]),
            &["-10m v1 | - host - - | - -"],
        ),
        (
            "an entity tag of another type keeps it",
            point(1, 10).to("m").tags(&["id", "7"]),
            &["-10m v1 | id 7 - - | - -"],
        ),
    ];
    for (name, message, rows) in cases {
        let world = world().await;
        let exchange = world.write(vec![message]).await;
        assert_eq!(replies(&exchange), [(1, OK)], "{name}");
        assert_eq!(world.rows("m").await, rows, "{name}");
    }
}

#[tokio::test]
async fn a_row_of_an_expired_segment_is_acknowledged_and_not_kept() {
    let world = world().await;
    let exchange = world.write(vec![point(1, 20 * 24 * 60).to("m").tags(&["id", "host"])]).await;
    assert_eq!(replies(&exchange), [(1, OK)]);
    assert!(world.sink.commits.lock().is_empty());
}

#[tokio::test]
async fn segments_in_the_future_are_bounded() {
    let world = world().await;
    let day = |id: u64| point(id, -(id as i64) * 24 * 60).to("m").tags(&["id", "host"]);
    let exchange = world.write((1..=100).map(day).collect()).await;
    let refused = replies(&exchange).iter().filter(|(_, status)| *status == INTERNAL).count();
    assert!((1..100).contains(&refused), "{refused} of 100 days in the future were refused");
}

#[tokio::test]
async fn values_of_all_types_come_back_unaltered() {
    let all = measure("all")
        .family("d", &["host:str", "s:str", "i:int", "sa:strs", "ia:ints", "b:bin", "t:time"])
        .entity(&["host"])
        .fields(&["i:int", "f:float", "s:str", "b:bin"])
        .build();
    let world = World::with(vec![all]).await;
    let exchange = world
        .write(vec![
            point(1, 3)
                .to("all")
                .tags(&["h", "text", "-5", "[a b a]", "[3 -1 3]", "0xbytes", "@12"])
                .fields(&["-9223372036854775808", "0.1", "text", "0xbytes"]),
            point(2, 2).tags(&["h", "", "0", "[]", "[]", "0x", "-"]).fields(&["0", "0.0", "", "0x"]),
            point(3, 1).tags(&["h"]),
        ])
        .await;
    assert_eq!(replies(&exchange).len(), 3);
    assert_eq!(
        world.rows("all").await,
        [
            "-3m v1 | h text -5 [a b a] [3 -1 3] 0xbytes @12 | -9223372036854775808 0.1 text 0xbytes",
            "-2m v2 | h \"\" 0 - - 0x - | 0 0.0 \"\" 0x",
            "-1m v3 | h - - - - - - | - - \"\" 0x",
        ]
    );
}

#[tokio::test]
async fn a_negative_zero_keeps_its_sign() {
    let float = measure("f").family("d", &["host:str"]).entity(&["host"]).fields(&["v:float"]).build();
    let world = World::with(vec![float]).await;
    let message = point(1, 1).to("f").tags(&["h"]).fields(&["1.25"]).encode().to_vec();
    // The generated encoder leaves a negative zero out, other clients do not.
    let at = message.windows(8).position(|bytes| *bytes == 1.25f64.to_le_bytes()).unwrap();
    let message = [&message[..at], &(-0.0f64).to_le_bytes(), &message[at + 8..]].concat();
    assert_eq!(replies(&world.play(vec![Ok(message.into())]).await), [(1, OK)]);
    assert_eq!(world.rows("f").await, ["-1m v1 | h | -0.0"]);
}

#[tokio::test]
async fn a_schema_change_in_the_middle_of_a_stream_counts_from_the_next_message() {
    use tokio_stream::StreamExt;
    let world = world().await;
    let (requests, inbox) = tokio::sync::mpsc::channel(1);
    let mut stream = world.stream(tokio_stream::wrappers::ReceiverStream::new(inbox));
    let client = async {
        requests.send(Ok(good(1).encode())).await.unwrap();
        requests.send(Ok(good(2).at(1, 1).encode())).await.unwrap();
    };
    let (reply, ()) = tokio::join!(stream.next(), client);
    assert_eq!(reply.unwrap().unwrap().message_id, 2, "both messages were taken");
    let changed = measure("m")
        .family("d", &["host:str", "id:str", "note:int"])
        .family("e", &["x:str"])
        .entity(&["host"])
        .fields(&["cnt:int", "lat:int"])
        .build();
    world.registry.update(changed).await.unwrap();
    requests.send(Ok(point(3, 9).tags(&["host", "id", "1"]).encode())).await.unwrap();
    drop(requests);
    let rest: Vec<_> = stream.map(|reply| reply.unwrap().message_id).collect().await;
    assert_eq!(rest, [1, 3]);
    assert_eq!(world.rows("m").await, ["-10m v1 | host id 1 - | 1 2", "-9m v3 | host id 1 - | - -"]);
}

#[tokio::test]
async fn ten_thousand_messages_that_alternate_between_measures_are_answered_in_order() {
    let names: Vec<String> = (0..40).map(|n| format!("m{n}")).collect();
    let define =
        |name: &String| measure(name).family("d", &["host:str"]).entity(&["host"]).fields(&["v:int"]).build();
    let world = World::with(names.iter().map(define).collect()).await;
    let message = |id: u64| point(id, 1).to(&names[id as usize % 40]).tags(&["h"]).fields(&["1"]);
    let exchange = world.write((1..=10_000).map(message).collect()).await;
    assert!(exchange.replies.iter().copied().eq((1..=10_000).map(|id| (id, OK))));
    assert_eq!(*world.sink.commits.lock(), [10_000]);
    assert_eq!(world.rows("m7").await, ["-1m v9967 | h | 1"]);
}
