//! Measures with the rules that bindings attach to them.

use super::*;

fn rules(world: &World, measure: &str) -> Vec<String> {
    let measure = world.registry.measure("g", measure).unwrap();
    measure.rules.iter().map(|rule| rule.name().to_owned()).collect()
}

#[tokio::test]
async fn every_change_of_rules_and_bindings_shows_in_the_measure() {
    let world = World::new().await;
    let registry = &world.registry;
    registry.create_group(measure_group("g")).await.unwrap();
    registry.create(measure_of("g", "m", &["id", "zone"])).await.unwrap();
    registry.create(binding_of("g", "b", &["zone", "later"], "m")).await.unwrap();
    assert_eq!(rules(&world, "m"), [""; 0], "rules that do not exist are ignored");
    registry.create(rule_of("g", "zone", "zone")).await.unwrap();
    assert_eq!(rules(&world, "m"), ["zone"], "until they appear");
    registry.create(binding_of("g", "a", &["later", "zone"], "m")).await.unwrap();
    registry.create(rule_of("g", "later", "id")).await.unwrap();
    assert_eq!(rules(&world, "m"), ["later", "zone"], "several bindings unite");
    registry.update(binding_of("g", "a", &["zone"], "other")).await.unwrap();
    assert_eq!(rules(&world, "m"), ["zone", "later"], "a binding that moved away attaches nothing");
    registry.delete::<IndexRule>("g", "zone").await.unwrap();
    assert_eq!(rules(&world, "m"), ["later"]);
    let again = world.restarted().await;
    assert_eq!(rules(&again, "m"), ["later"], "a restart resolves the same");
    registry.delete::<IndexRuleBinding>("g", "b").await.unwrap();
    assert_eq!(rules(&world, "m"), [""; 0]);
}

#[tokio::test]
async fn a_change_of_the_group_shows_in_its_measures() {
    let world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    world.registry.create(measure_of("g", "m", &["id"])).await.unwrap();
    let mut wider = measure_group("g");
    wider.resource_opts.as_mut().unwrap().shard_num = 5;
    world.registry.update_group(wider).await.unwrap();
    assert_eq!(world.registry.measure("g", "m").unwrap().group.options.shard_num, 5);
}
