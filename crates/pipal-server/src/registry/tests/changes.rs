//! Create, Update and Delete.

use super::*;

#[tokio::test]
async fn a_stored_message_comes_back_verbatim_but_for_the_stamps() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let mut sent = measure_of("g", "m", &["id", "zone"]);
    sent.metadata = Some(Metadata { id: 7, create_revision: 5, mod_revision: 9, ..sent.metadata.unwrap() });
    sent.updated_at = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let revision = world.registry.create(sent.clone()).await.unwrap();
    let stored = world.measure("g", "m").unwrap();
    let at = stored.updated_at.unwrap();
    assert_eq!(
        at.seconds * 1_000_000_000 + i64::from(at.nanos),
        revision,
        "updated_at is the revision's time"
    );
    assert_eq!(stored.created_at, stored.updated_at);
    let mut expected = sent;
    expected.metadata = Some(Metadata { mod_revision: revision, ..expected.metadata.unwrap() });
    expected.set_times(stored.updated_at, stored.created_at);
    assert_eq!(*stored, expected);
}

#[tokio::test]
async fn an_update_of_equal_content_changes_nothing() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let revision = world.registry.create(measure_of("g", "m", &["id"])).await.unwrap();
    let before = world.measure("g", "m").unwrap();
    let mut same = measure_of("g", "m", &["id"]);
    same.metadata = Some(Metadata { id: 1, create_revision: 2, mod_revision: 3, ..same.metadata.unwrap() });
    same.created_at = Some(prost_types::Timestamp::default());
    assert_eq!(world.registry.update(same).await.unwrap(), revision);
    assert_eq!(world.measure("g", "m").unwrap(), before);
}

#[tokio::test]
async fn an_update_gets_a_new_revision_and_keeps_the_time_of_creation() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let first = world.registry.create(measure_of("g", "m", &["id"])).await.unwrap();
    let created = world.measure("g", "m").unwrap().created_at;
    world.clock.advance(-1_000_000);
    let second = world.registry.update(measure_of("g", "m", &["id", "zone"])).await.unwrap();
    assert!(second > first, "also when the clock steps back");
    let stored = world.measure("g", "m").unwrap();
    assert_eq!((stored.revision(), stored.created_at), (second, created));
}

#[tokio::test]
async fn revisions_go_on_growing_after_a_restart_with_a_clock_in_the_past() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    world.registry.create(measure_of("g", "m", &["id"])).await.unwrap();
    let deleted = world.registry.delete::<Measure>("g", "m").await.unwrap();
    assert!(deleted.deleted);
    world.clock.set(5);
    let world = world.restarted().await;
    assert!(world.measure("g", "m").is_none());
    assert_eq!(*world.registry.applied().borrow(), deleted.time, "a deletion is a change too");
    let next = world.registry.create(measure_of("g", "m", &["id"])).await.unwrap();
    assert!(next > deleted.time);
}

#[tokio::test]
async fn of_concurrent_creates_of_one_name_exactly_one_wins() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let creates: Vec<_> = (0..32)
        .map(|_| {
            let registry = world.registry.clone();
            tokio::spawn(async move { registry.create(measure_of("g", "m", &["id"])).await })
        })
        .collect();
    let (mut won, mut lost) = (Vec::new(), 0);
    for create in creates {
        match create.await.unwrap() {
            Ok(revision) => won.push(revision),
            Err(SchemaError::AlreadyExists) => lost += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((won.len(), lost), (1, 31));
    assert_eq!(world.measure("g", "m").unwrap().revision(), won[0]);
}

#[tokio::test]
async fn what_could_not_be_stored_is_not_seen() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    world.registry.create(measure_of("g", "old", &["id"])).await.unwrap();
    world.store.fail(true);
    assert!(matches!(
        world.registry.create(measure_of("g", "m", &["id"])).await,
        Err(SchemaError::Storage(_))
    ));
    assert!(world.registry.delete::<Measure>("g", "old").await.is_err());
    assert!(world.registry.create_group(measure_group("h")).await.is_err());
    assert!(world.measure("g", "m").is_none() && world.measure("g", "old").is_some());
    assert!(world.registry.group("h").is_none());
}

#[tokio::test]
async fn a_change_goes_on_when_its_caller_goes_away() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    world.store.hold();
    let registry = world.registry.clone();
    let caller = tokio::spawn(async move { registry.create(measure_of("g", "m", &["id"])).await });
    let store = world.store.clone();
    eventually(move || store.held() == 1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert!(world.measure("g", "m").is_none(), "it is not durable yet");
    world.store.release();
    eventually(|| world.measure("g", "m").is_some()).await;
}

#[tokio::test]
async fn updates_that_would_orphan_rows_are_refused() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    world.registry.create(measure_of("g", "m", &["id", "zone"])).await.unwrap();
    let base = || measure_of("g", "m", &["id", "zone"]);
    let mut refused: Vec<(Measure, &str)> = Vec::new();
    refused.push((Measure { interval: "5m".into(), ..base() }, "interval"));
    refused.push((Measure { entity: Some(Entity { tag_names: vec!["zone".into()] }), ..base() }, "entity"));
    refused.push((Measure { index_mode: true, fields: vec![], ..base() }, "index mode"));
    let mut retyped = base();
    retyped.fields[0].field_type = FieldType::Float as i32;
    refused.push((retyped, "field total"));
    let mut without_id = base();
    without_id.tag_families[0].tags.remove(0);
    refused.push((without_id, "cannot delete entity tag id"));
    let mut renamed = base();
    renamed.tag_families[0].name = "other".into();
    refused.push((renamed, "cannot delete tag family default"));
    for (update, reason) in refused {
        let Err(SchemaError::Refused(text)) = world.registry.update(update).await else {
            panic!("{reason} was not refused")
        };
        assert!(text.starts_with(&format!("validation failed: {reason}")), "{text}");
    }
    let mut allowed = base();
    allowed.tag_families[0].tags.remove(1);
    allowed.fields.clear();
    world.registry.update(allowed).await.unwrap();
}

#[tokio::test]
async fn a_missing_group_or_object_is_told_apart() {
    let world = World::new().await;
    let orphan = world.registry.create(measure_of("none", "m", &["id"])).await;
    assert!(matches!(orphan, Err(SchemaError::NotFound)));
    world.registry.create_group(measure_group("g")).await.unwrap();
    let Err(SchemaError::Refused(text)) = world.registry.update(measure_of("g", "m", &["id"])).await else {
        panic!("an update of nothing")
    };
    assert_eq!(text, "schema g/m not exist");
    let Err(SchemaError::Refused(text)) = world.registry.update_group(measure_group("h")).await else {
        panic!("an update of nothing")
    };
    assert_eq!(text, "schema /h not exist");
    // Rules do not ask for their group.
    world.registry.create(rule_of("later", "r", "t")).await.unwrap();
    assert!(world.registry.group("later").is_none());
    assert_eq!(world.registry.list::<IndexRule>("later").len(), 1);
}

#[tokio::test]
async fn a_measure_belongs_into_a_measure_group() {
    let world = World::new().await;
    world.registry.create_group(group_of("s", Catalog::Stream)).await.unwrap();
    let wrong = world.registry.create(measure_of("s", "m", &["id"])).await;
    assert!(matches!(wrong, Err(SchemaError::Invalid(_))));
}

#[tokio::test]
async fn a_rule_gets_an_id_and_keeps_it() {
    let world = World::new().await;
    world.registry.create(rule_of("g", "r", "t")).await.unwrap();
    let id = |world: &World| world.registry.get::<IndexRule>("g", "r").unwrap().metadata.as_ref().unwrap().id;
    let chosen = id(&world);
    assert_eq!(chosen, rules::index_rule_id("g", "r"));
    world.registry.update(rule_of("g", "r", "other")).await.unwrap();
    assert_eq!(id(&world), chosen);
    let missing = world.registry.update(rule_of("g", "missing", "t")).await;
    assert!(matches!(missing, Err(SchemaError::NotFound)));
}

#[tokio::test]
async fn options_of_a_group_reach_the_storage() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let id = world.registry.group("g").unwrap().id;
    assert_eq!(world.groups.of(id).options.unwrap().shard_num, 2);
    let mut wider = measure_group("g");
    wider.resource_opts.as_mut().unwrap().shard_num = 4;
    world.registry.update_group(wider).await.unwrap();
    assert_eq!(world.registry.group("g").unwrap().id, id, "it is the same incarnation");
    assert_eq!(world.groups.of(id).options.unwrap().shard_num, 4);
    let top_n = world.measure("g", builtin::TOP_N_RESULT).unwrap();
    assert_eq!(top_n.entity.as_ref().unwrap().tag_names, ["name", "direction", "group", "parameters"]);
}
