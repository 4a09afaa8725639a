//! Schema objects are charged to the memory of the process.

use super::super::testing::*;
use super::super::*;
use crate::api::database::Measure;
use tonic::{Code, Status};

/// Room for a group with its built-in measure and a few measures more.
const BYTES: usize = 40 << 10;

async fn small_world() -> World {
    World::within(BYTES, Arc::default(), Arc::default(), NOW).await
}

/// Creates measures until one is refused; their number, and the refusal.
async fn fill(world: &World) -> (usize, Status) {
    for number in 0.. {
        let measure = measure_of("g", &format!("m{number:05}"), &["service"]);
        if let Err(error) = world.registry.create(measure).await {
            return (number, error.into());
        }
    }
    unreachable!("an endless loop ended")
}

#[tokio::test]
async fn an_object_without_room_is_refused_with_the_limit_and_goes_in_when_there_is_some() {
    let world = small_world().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let (count, refusal) = fill(&world).await;
    assert!(count > 3, "{count} measures");
    assert_eq!(refusal.code(), Code::ResourceExhausted);
    assert!(
        refusal.message().contains(&format!("the {BYTES} bytes of memory for schemas are used up")),
        "{refusal}"
    );
    assert!(world.measure("g", &format!("m{count:05}")).is_none());
    let full = world.memory.used();

    let larger = measure_of("g", "m00000", &["service", &"x".repeat(BYTES)]);
    let refused = Status::from(world.registry.update(larger).await.unwrap_err());
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(world.memory.used(), full, "a refused update takes nothing");
    let group = measure_group(&"h".repeat(BYTES));
    let refused = Status::from(world.registry.create_group(group).await.unwrap_err());
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(world.memory.used(), full);

    world.registry.delete::<Measure>("g", "m00001").await.unwrap();
    assert!(world.memory.used() < full, "what is deleted is given back");
    world.registry.create(measure_of("g", "m00001", &["service"])).await.unwrap();
    assert_eq!(world.memory.used(), full);
}

#[tokio::test]
async fn a_failed_change_gives_its_memory_back() {
    let world = small_world().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let before = world.memory.used();
    world.store.fail(true);
    assert!(world.registry.create(measure_of("g", "m", &["service"])).await.is_err());
    assert_eq!(world.memory.used(), before);
}

#[tokio::test]
async fn what_is_stored_is_loaded_and_charged_although_there_is_no_room() {
    let world = small_world().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let (count, _) = fill(&world).await;
    let next = World::within(1, world.store.clone(), world.groups.clone(), world.clock_now()).await;
    assert_eq!(next.memory.used(), world.memory.used());
    assert!(next.measure("g", &format!("m{:05}", count - 1)).is_some());
    assert!(next.registry.create(measure_of("g", "m", &["service"])).await.is_err());
}

#[tokio::test]
async fn a_group_goes_with_the_memory_of_all_its_objects() {
    let world = small_world().await;
    let empty = world.memory.used();
    world.registry.create_group(measure_group("g")).await.unwrap();
    fill(&world).await;
    let space = world.registry.space("g").unwrap();
    space.withdraw_all();
    assert_eq!(world.memory.used(), empty);
}
