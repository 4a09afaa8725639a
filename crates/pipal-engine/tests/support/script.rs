//! A fixed sequence of operations that touches everything: log rotation, layouts that change, flushes, merges,
//! retention, deletion of groups and their return under another incarnation.

use super::model::Model;
use super::random::Random;
use super::world::{World, segmented, unsegmented};
use pipal_engine::GroupId;
use pipal_model::time::DAY_NANOS;
use pipal_model::{ErrorKind, Interval, Result, RowPolicy};

/// What is known about the contents after a run that may have been cut short.
pub struct Outcome {
    /// With everything that was answered.
    pub acknowledged: Model,
    /// Also with what was under way when the run ended, or failed without saying what became of it.
    pub in_doubt: Vec<Model>,
    /// Requests that were answered after one had failed for want of space.
    pub healed: bool,
}

/// Groups of the script: two tables or more per policy.
pub fn put_groups(world: &mut World) {
    world.put_group(1, segmented(2), RowPolicy::Versioned);
    world.put_group(2, segmented(2), RowPolicy::Collapse);
    world.put_group(3, unsegmented(), RowPolicy::Document);
    world.put_group(4, unsegmented(), RowPolicy::Document);
    world.put_group(5, segmented(2), RowPolicy::Latest);
}

/// Plays `steps` steps. With `stop_at_error` the first error ends the run, as a power cut does.
pub fn play(world: &mut World, seed: u64, steps: usize, stop_at_error: bool) -> Outcome {
    let mut random = Random::new(seed);
    let mut next_group: GroupId = 10;
    let mut in_doubt: Vec<Model> = Vec::new();
    let (mut was_full, mut healed) = (false, false);
    for _ in 0..steps {
        let before = world.model.clone();
        let result = match random.below(100) {
            0..8 => world.engine.flush(),
            8..12 => world.engine.wait_merges().and_then(|()| world.engine.reap()),
            12..15 => drop_and_return(world, &mut random, &mut next_group, &mut in_doubt),
            15..17 => expire(world, &mut in_doubt),
            _ => write(world, &mut random, &mut in_doubt, &mut was_full, &mut healed),
        };
        let Err(error) = result else { continue };
        if stop_at_error {
            let after = std::mem::replace(&mut world.model, before);
            in_doubt.push(after);
            break;
        }
        assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
    }
    Outcome { acknowledged: world.model.clone(), in_doubt, healed: healed || !was_full }
}

fn write(
    world: &mut World,
    random: &mut Random,
    in_doubt: &mut Vec<Model>,
    was_full: &mut bool,
    healed: &mut bool,
) -> Result<()> {
    let group = *random.pick(&world.groups.keys().copied().collect::<Vec<_>>());
    let request = world.random_request(random, group);
    let mut with = world.model.clone();
    with.apply(&request);
    let was_read_only = world.engine.is_read_only();
    match world.engine.commit_blocking(World::batch(&request)) {
        Ok(()) => {
            *healed |= *was_full;
            world.model = with;
            // What was in doubt stays so, with the later requests on top.
            in_doubt.iter_mut().for_each(|model| model.apply(&request));
            Ok(())
        }
        Err(error) => {
            match error.kind() {
                // The log promises that nothing of these requests is in it.
                ErrorKind::DiskFull => *was_full = true,
                _ if was_read_only => {}
                _ => in_doubt.push(with),
            }
            Err(error)
        }
    }
}

fn drop_and_return(world: &mut World, random: &mut Random, next_group: &mut GroupId, in_doubt: &mut [Model]) -> Result<()> {
    let victim = *random.pick(&world.groups.keys().copied().collect::<Vec<_>>());
    let (sender, receiver) = std::sync::mpsc::channel();
    world.engine.drop_group(victim, move |result| sender.send(result).unwrap());
    // Whether or not the deletion reaches the disk, the group takes no writes any more.
    let (options, policy) = world.groups[&victim];
    world.model.drop_group(victim);
    in_doubt.iter_mut().for_each(|model| model.drop_group(victim));
    world.dropped.insert(victim, world.groups.remove(&victim).unwrap());
    world.put_group(*next_group, options, policy);
    *next_group += 1;
    receiver.recv().unwrap()
}

fn expire(world: &mut World, in_doubt: &mut [Model]) -> Result<()> {
    world.clock.advance(DAY_NANOS);
    let now = pipal_engine::Clock::now(&*world.clock);
    let ttl = |o: &pipal_engine::GroupOptions| o.ttl.as_ref().map(Interval::nanos);
    for model in in_doubt.iter_mut().chain([&mut world.model]) {
        let groups = &world.groups;
        model.tables.retain(|key, _| {
            let ttl = groups.get(&key.group).and_then(|(options, _)| ttl(options));
            ttl.is_none_or(|ttl| key.segment.end > now - ttl)
        });
    }
    world.engine.run_retention().and_then(|_| world.engine.reap())
}
