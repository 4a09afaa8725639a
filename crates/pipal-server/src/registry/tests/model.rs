//! Random changes against a naive model, with restarts between them.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Create(usize, usize),
    Update(usize, usize),
    Delete(usize),
    Restart,
    ClockBack,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_usize, 0..3_usize).prop_map(|(name, tags)| Step::Create(name, tags)),
        3 => (0..3_usize, 0..3_usize).prop_map(|(name, tags)| Step::Update(name, tags)),
        2 => (0..3_usize).prop_map(Step::Delete),
        1 => Just(Step::Restart),
        1 => Just(Step::ClockBack),
    ]
}

/// One of three contents; all updates between them are allowed.
fn content(name: usize, tags: usize) -> Measure {
    measure_of("g", &format!("m{name}"), &["id", "a", "b"][..=tags])
}

async fn play(steps: Vec<Step>) {
    let mut world = World::new().await;
    world.registry.create_group(measure_group("g")).await.unwrap();
    let mut model: BTreeMap<usize, (usize, i64)> = BTreeMap::new();
    let mut last = *world.registry.applied().borrow();
    for step in steps {
        match step {
            Step::Create(name, tags) => match world.registry.create(content(name, tags)).await {
                Ok(revision) => {
                    assert!(revision > last && model.insert(name, (tags, revision)).is_none());
                    last = revision;
                }
                Err(SchemaError::AlreadyExists) => assert!(model.contains_key(&name)),
                Err(other) => panic!("{other:?}"),
            },
            Step::Update(name, tags) => {
                match (world.registry.update(content(name, tags)).await, model.get(&name)) {
                    (Ok(revision), Some(&(old, stored))) if old == tags => assert_eq!(revision, stored),
                    (Ok(revision), Some(_)) => {
                        assert!(revision > last);
                        last = revision;
                        model.insert(name, (tags, revision));
                    }
                    (Err(SchemaError::Refused(_)), None) => {}
                    (outcome, known) => panic!("{outcome:?} for {known:?}"),
                }
            }
            Step::Delete(name) => {
                let deleted = world.registry.delete::<Measure>("g", &format!("m{name}")).await.unwrap();
                assert_eq!(deleted.deleted, model.remove(&name).is_some());
                if deleted.deleted {
                    assert!(deleted.time > last);
                    last = deleted.time;
                }
            }
            Step::Restart => world = world.restarted().await,
            Step::ClockBack => world.clock.advance(-1_000_000_000),
        }
        let seen: Vec<(String, usize, i64)> = world
            .registry
            .list::<Measure>("g")
            .iter()
            .filter(|m| m.name() != builtin::TOP_N_RESULT)
            .map(|m| (m.name().to_owned(), m.tag_families[0].tags.len() - 1, m.revision()))
            .collect();
        let expected: Vec<(String, usize, i64)> =
            model.iter().map(|(name, (tags, revision))| (format!("m{name}"), *tags, *revision)).collect();
        assert_eq!(seen, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_registry_agrees_with_a_naive_model(steps in prop::collection::vec(step(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(steps));
    }
}
