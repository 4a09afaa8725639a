//! A fixed sequence of operations that touches everything: log rotation, layouts that change, flushes, merges,
//! retention, deletion of groups and their return under another incarnation.

use super::model::Model;
use super::random::Random;
use super::world::{Request, World, segmented, unsegmented};
use pipal_engine::{Clock, GroupId, SegmentBounds};
use pipal_model::time::DAY_NANOS;
use pipal_model::{ErrorKind, Interval, Result, RowPolicy};

/// Something that changed the contents, or may have.
enum Change {
    Written(Request),
    /// The outcome is not known: the run ended, or the request failed without saying what became of it.
    InDoubt(Request),
    Dropped(GroupId),
    /// A deletion that failed or was cut short.
    DropInDoubt(GroupId),
    Expired(Vec<(GroupId, SegmentBounds)>),
}

/// What is known about the contents after a run that may have been cut short.
pub struct Outcome {
    /// With everything that was answered.
    pub acknowledged: Model,
    /// The same, each with one of the changes that are in doubt.
    pub in_doubt: Vec<Model>,
    /// Writes went on after one had failed for want of space.
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
    let mut script = Script { next_group: 10, history: Vec::new(), was_full: false, healed: false };
    for _ in 0..steps {
        let result = match random.below(100) {
            0..8 => world.engine.flush(),
            8..12 => world.engine.wait_merges().and_then(|()| world.engine.reap()),
            12..15 => script.drop_and_return(world, &mut random),
            15..17 => script.expire(world),
            _ => script.write(world, &mut random),
        };
        let Err(error) = result else { continue };
        if stop_at_error {
            break;
        }
        assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
    }
    if script.was_full && !script.healed && !stop_at_error {
        // The script ended with the write that found the disk full: the next one must succeed.
        script.write(world, &mut random).unwrap();
    }
    script.outcome()
}

struct Script {
    next_group: GroupId,
    history: Vec<Change>,
    was_full: bool,
    healed: bool,
}

impl Script {
    fn write(&mut self, world: &mut World, random: &mut Random) -> Result<()> {
        let group = *random.pick(&world.groups.keys().copied().collect::<Vec<_>>());
        let request = world.random_request(random, group);
        let was_read_only = world.engine.is_read_only();
        let result = world.engine.commit_blocking(World::batch(&request));
        match &result {
            Ok(()) => {
                self.healed |= self.was_full;
                self.history.push(Change::Written(request));
            }
            // The log promises that nothing of these requests is in it.
            Err(error) if error.kind() == ErrorKind::DiskFull => self.was_full = true,
            Err(_) if was_read_only => {}
            Err(_) => self.history.push(Change::InDoubt(request)),
        }
        result
    }

    fn drop_and_return(&mut self, world: &mut World, random: &mut Random) -> Result<()> {
        let victim = *random.pick(&world.groups.keys().copied().collect::<Vec<_>>());
        let (sender, receiver) = std::sync::mpsc::channel();
        world.engine.drop_group(victim, move |result| sender.send(result).unwrap());
        let result = receiver.recv().unwrap();
        self.history.push(if result.is_ok() { Change::Dropped(victim) } else { Change::DropInDoubt(victim) });
        // Whether or not the deletion reached the disk, the group takes no writes any more.
        let (options, policy) = world.groups[&victim];
        world.dropped.insert(victim, world.groups.remove(&victim).unwrap());
        world.put_group(self.next_group, options, policy);
        self.next_group += 1;
        result
    }

    fn expire(&mut self, world: &mut World) -> Result<()> {
        world.clock.advance(DAY_NANOS);
        let now = world.clock.now();
        let mut expired = Vec::new();
        for (group, (options, _)) in world.groups.iter().chain(&world.dropped) {
            let Some(ttl) = options.ttl.as_ref().map(Interval::nanos) else { continue };
            let end = (now - ttl).div_euclid(DAY_NANOS) * DAY_NANOS;
            expired.push((*group, SegmentBounds { start: end - DAY_NANOS, end }));
        }
        self.history.push(Change::Expired(expired));
        world.engine.run_retention().and_then(|_| world.engine.reap())
    }

    fn outcome(&self) -> Outcome {
        let doubts = self.history.iter().enumerate();
        let doubts = doubts.filter(|(_, c)| matches!(c, Change::InDoubt(_) | Change::DropInDoubt(_)));
        Outcome {
            acknowledged: self.replay(None),
            in_doubt: doubts.map(|(at, _)| self.replay(Some(at))).collect(),
            healed: self.healed || !self.was_full,
        }
    }

    /// The contents by the history; of the changes in doubt only the one at `doubt` took place.
    fn replay(&self, doubt: Option<usize>) -> Model {
        let mut model = Model::default();
        for (at, change) in self.history.iter().enumerate() {
            match change {
                Change::Written(request) => model.apply(request),
                Change::InDoubt(request) if doubt == Some(at) => model.apply(request),
                Change::Dropped(group) => model.drop_group(*group),
                Change::DropInDoubt(group) if doubt == Some(at) => model.drop_group(*group),
                Change::InDoubt(_) | Change::DropInDoubt(_) => {}
                Change::Expired(segments) => {
                    for (group, bounds) in segments {
                        model.tables.retain(|key, _| key.group != *group || key.segment.end > bounds.end);
                    }
                }
            }
        }
        model
    }
}
