//! Deletion of groups.

use super::*;
use crate::api::database::group_deletion_task::Phase;

fn delete(group: &str) -> DeleteGroup {
    DeleteGroup { group: group.into(), ..DeleteGroup::default() }
}

fn is_completed(world: &World, group: &str) -> bool {
    world.registry.deletion_task(group).is_some_and(|task| task.current_phase == Phase::Completed as i32)
}

async fn filled() -> World {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    world.registry.create(measure_of("g", "m", &["id"])).await.unwrap();
    world.registry.create(rule_of("g", "r", "id")).await.unwrap();
    world.registry.create(binding_of("g", "b", &["r"], "m")).await.unwrap();
    world.groups.fill(world.registry.group("g").unwrap().id, 1_000);
    world
}

#[tokio::test]
async fn a_dry_run_names_everything_and_changes_nothing() {
    let world = filled().await;
    let request = DeleteGroup { dry_run: true, ..delete("g") };
    let Deletion::Planned(info) = world.registry.delete_group(request).await.unwrap() else {
        panic!("a dry run started something")
    };
    assert_eq!(info.measures, ["_top_n_result", "m"]);
    assert_eq!((info.index_rules, info.index_rule_bindings), (vec!["r".to_owned()], vec!["b".to_owned()]));
    assert!(world.registry.deletion_task("g").is_none());
    assert!(!world.registry.group("g").unwrap().is_deleting());
}

#[tokio::test]
async fn rows_stand_in_the_way_unless_forced_and_internal_groups_always() {
    let world = filled().await;
    assert!(matches!(world.registry.delete_group(delete("none")).await, Err(SchemaError::NotFound)));
    let internal = DeleteGroup { force: true, ..delete("_deletion_task") };
    assert!(matches!(world.registry.delete_group(internal).await, Err(SchemaError::Denied(_))));
    for data_only in [false, true] {
        let request = DeleteGroup { data_only, ..delete("g") };
        assert!(matches!(world.registry.delete_group(request).await, Err(SchemaError::Precondition(_))));
    }
}

#[tokio::test]
async fn the_gate_is_closed_before_the_reply_and_then_everything_goes() {
    let world = filled().await;
    let old = world.registry.group("g").unwrap();
    world.registry.delete_group(DeleteGroup { force: true, ..delete("g") }).await.unwrap();
    assert!(world.groups.of(old.id).closed && old.is_deleting());
    eventually(|| is_completed(&world, "g")).await;
    assert!(world.groups.of(old.id).dropped);
    assert!(world.registry.group("g").is_none() && world.measure("g", "m").is_none());
    assert!(world.registry.list::<IndexRule>("g").is_empty());
    let task = world.registry.deletion_task("g").unwrap();
    assert_eq!(task.deleted_counts, task.total_counts);
    assert_eq!((task.total_counts["measure"], task.total_counts["stream"]), (2, 0));
    assert_eq!(task.total_data_size_bytes, 1_000);
    // The name is free at once and gives another incarnation; the task stays readable.
    world.registry.create_group(measure_group("g")).await.unwrap();
    assert!(world.registry.group("g").unwrap().id > old.id);
    assert!(is_completed(&world.restarted().await, "g"));
}

#[tokio::test]
async fn deleting_the_rows_alone_starts_a_new_incarnation_under_the_same_schema() {
    let world = filled().await;
    let old = world.registry.group("g").unwrap();
    world.registry.delete_group(DeleteGroup { force: true, data_only: true, ..delete("g") }).await.unwrap();
    eventually(|| is_completed(&world, "g")).await;
    let new = world.registry.group("g").unwrap();
    assert!(new.id > old.id && !new.is_deleting());
    assert_eq!(new.definition, old.definition, "the stored message is untouched");
    assert!(world.groups.of(old.id).dropped && !world.groups.of(new.id).closed);
    assert_eq!(world.registry.measure("g", "m").unwrap().group.id, new.id, "writes find the new rows");
    let task = world.registry.deletion_task("g").unwrap();
    assert!(task.total_counts.is_empty() && task.message == "data files deleted successfully");
    assert_eq!(world.restarted().await.registry.group("g").unwrap().id, new.id);
}

#[tokio::test]
async fn a_running_task_blocks_another_until_it_is_stale() {
    let world = filled().await;
    world.groups.hold_drops();
    let request = || DeleteGroup { force: true, data_only: true, ..delete("g") };
    world.registry.delete_group(request()).await.unwrap();
    eventually(|| world.groups.held_drops() == 1).await;
    assert!(matches!(world.registry.delete_group(request()).await, Err(SchemaError::Refused(_))));
    world.clock.advance(601_000_000_000);
    world.registry.delete_group(request()).await.unwrap();
}

#[tokio::test]
async fn an_interrupted_deletion_goes_on_after_a_restart() {
    for data_only in [false, true] {
        let world = filled().await;
        let old = world.registry.group("g").unwrap().id;
        world.groups.hold_drops();
        world.registry.delete_group(DeleteGroup { force: true, data_only, ..delete("g") }).await.unwrap();
        eventually(|| world.groups.held_drops() == 1).await;
        // The process stops here: the schema is gone, or the group has a new incarnation, but the old rows stay.
        let groups = Arc::new(FakeGroups::default());
        let again = World::over(world.store.clone(), groups.clone(), world.clock_now()).await;
        eventually(|| is_completed(&again, "g")).await;
        assert!(groups.of(old).dropped, "data_only: {data_only}");
        assert_eq!(again.registry.group("g").is_some(), data_only);
    }
}
