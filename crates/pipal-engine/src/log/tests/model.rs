//! The naive model of a log, and a driver that plays steps on both.

use super::*;
use crate::fs::SimulatedFileSystem;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What a test does to a log.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Appends a group; per entry its length and the definitions that it needs.
    Append(Vec<(usize, Vec<u8>)>),
    Sync,
    /// Declares so many percent of the durable entries covered.
    Release(u64),
    /// Ends the process in order or by a kill, and opens again.
    Reopen {
        cleanly: bool,
    },
    /// Cuts the power and opens what is found.
    Crash(CrashPolicy),
    /// Makes operations fail, counted from the next one.
    Fail(u64, Fault),
}

pub(super) fn append_step() -> impl Strategy<Value = Step> {
    let entry = (0usize..900, prop::collection::vec(0u8..5, 0..3));
    prop::collection::vec(entry, 1..5).prop_map(Step::Append)
}

pub(super) fn policy() -> impl Strategy<Value = CrashPolicy> {
    prop_oneof![
        Just(CrashPolicy::Nothing),
        Just(CrashPolicy::Everything),
        (0usize..12).prop_map(CrashPolicy::Prefix),
        any::<u64>().prop_map(CrashPolicy::Random),
        any::<u64>().prop_map(CrashPolicy::Random),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fault = prop_oneof![Just(Fault::Eio), Just(Fault::Enospc), Just(Fault::ShortWrite)];
    let step = prop_oneof![
        12 => append_step(),
        5 => Just(Step::Sync),
        2 => (0u64..=100).prop_map(Step::Release),
        1 => any::<bool>().prop_map(|cleanly| Step::Reopen { cleanly }),
        2 => policy().prop_map(Step::Crash),
        2 => (0u64..4, fault).prop_map(|(after, fault)| Step::Fail(after, fault)),
    ];
    prop::collection::vec(step, 1..50)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    seq: u64,
    payload: Vec<u8>,
}

/// Everything that a log promises, and the log itself.
pub(super) struct Driver {
    pub fs: SimulatedFileSystem,
    pub log: Option<Log>,
    options: LogOptions,
    /// Entries that were appended without error and not lost in a crash.
    accepted: Vec<Item>,
    /// So many of them are durable.
    durable: usize,
    /// A failed group after the accepted ones whose fate is open, because it could not be undone.
    undecided: Vec<Item>,
    /// Entries up to this one were released.
    covered: u64,
    /// The last operation before the power goes, if a test cuts it.
    last_operation: u64,
    /// Makes payloads distinct, those of failed appends too.
    attempts: u64,
}

impl Driver {
    pub(super) fn new(compression: Compression) -> Self {
        let mut driver = Driver {
            fs: SimulatedFileSystem::new(),
            log: None,
            options: LogOptions { compression, ..options() },
            accepted: Vec::new(),
            durable: 0,
            undecided: Vec::new(),
            covered: 0,
            last_operation: u64::MAX,
            attempts: 0,
        };
        driver.reopen();
        driver
    }

    /// Lets so many operations happen and none after them.
    pub(super) fn cut_power_after(&mut self, last_operation: u64) {
        self.last_operation = last_operation;
        self.fs.power_cut_after(last_operation);
    }

    pub(super) fn power_is_off(&self) -> bool {
        self.fs.counters().operations > self.last_operation
    }

    pub(super) fn play(&mut self, step: &Step) {
        match step {
            Step::Append(group) => self.append(group),
            Step::Sync => self.sync(),
            Step::Release(percent) => self.release(*percent),
            Step::Reopen { cleanly } => {
                let log = self.log.take();
                if *cleanly && log.is_some_and(|log| log.close().is_ok()) {
                    self.durable = self.accepted.len();
                }
                self.reopen();
            }
            Step::Crash(policy) => {
                self.log = None;
                self.fs = self.fs.crash_image(*policy);
                self.reopen();
            }
            Step::Fail(after, fault) => self.fs.fail_at(next_operation(&self.fs) + after, *fault),
        }
        self.check_log();
    }

    fn append(&mut self, group: &[(usize, Vec<u8>)]) {
        let Some(log) = &mut self.log else { return };
        let definitions: Vec<Vec<Arc<Definition>>> =
            group.iter().map(|(_, ids)| ids.iter().map(|id| definition(*id)).collect()).collect();
        let mut items = Vec::new();
        for (seq, (length, ids)) in (log.next_seq()..).zip(group) {
            self.attempts += 1;
            items.push(Item { seq, payload: payload(self.attempts, *length, ids) });
        }
        let entries: Vec<LogEntry<'_>> = items
            .iter()
            .zip(&definitions)
            .map(|(item, definitions)| LogEntry { payload: &item.payload, definitions })
            .collect();
        let operations = self.fs.counters().operations;
        let (was_undecided, files) = (log.is_undecided(), log.file_count());
        match log.append(&entries) {
            Ok(seqs) => {
                assert_eq!(seqs, items[0].seq..items[0].seq + items.len() as u64);
                self.accepted.extend(items);
                self.undecided.clear();
            }
            // A refused append touches nothing, so an earlier undecided one stays so.
            Err(_) if self.fs.counters().operations == operations => {}
            // So does one when the file that would decide it could not be started: the new group was never written.
            Err(_) if was_undecided && log.file_count() == files => {}
            Err(_) => self.undecided = if log.is_undecided() { items } else { Vec::new() },
        }
        // An append can sync too: when it starts a file, or when it takes a failed write back.
        self.note_durable();
    }

    fn sync(&mut self) {
        let Some(log) = &mut self.log else { return };
        if log.sync().is_ok() {
            assert_eq!(log.durable_seq(), log.next_seq() - 1);
        }
        self.note_durable();
    }

    fn release(&mut self, percent: u64) {
        let Some(log) = &mut self.log else { return };
        let covered = log.durable_seq() * percent / 100;
        self.covered = self.covered.max(covered);
        log.release(covered);
        self.note_durable();
    }

    fn note_durable(&mut self) {
        let Some(log) = &self.log else { return };
        let durable = self.accepted.iter().filter(|item| item.seq <= log.durable_seq()).count();
        assert!(durable >= self.durable, "what is durable stays so");
        self.durable = durable;
    }

    fn check_log(&self) {
        let Some(log) = &self.log else { return };
        assert!(log.durable_seq() < log.next_seq());
        assert!(self.accepted.last().is_none_or(|item| item.seq < log.next_seq()));
        if let Some(oldest) = log.oldest_seq() {
            assert!(oldest < log.next_seq());
        }
    }

    /// Opens what is on the disk and holds it against the model.
    pub(super) fn reopen(&mut self) {
        self.log = None;
        let options = LogOptions { next_seq_min: self.covered + 1, ..self.options.clone() };
        // One attempt can meet an injected fault, the next one does not.
        for _ in 0..20 {
            let mut replayed = Replayed::default();
            let opened = Log::open(Arc::new(self.fs.clone()), Path::new(DIR), options.clone(), &mut |item| {
                replayed.take(item)
            });
            let Ok((log, report)) = opened else { continue };
            replayed.check_definitions(&report);
            assert_eq!(report.damages, [], "a power cut is no damage");
            self.check_replay(replayed.items);
            if !log.is_failed() {
                self.log = Some(log);
                return;
            }
        }
        if self.power_is_off() {
            return;
        }
        panic!("the log cannot be opened");
    }

    /// The entries found must be a stretch of the accepted ones: it starts within what was covered, and ends behind
    /// what was durable.
    fn check_replay(&mut self, found: Vec<Item>) {
        let first = found.first().map_or(u64::MAX, |item| item.seq);
        let start = self.accepted.iter().take_while(|item| item.seq < first).count();
        let released = self.accepted.iter().take_while(|item| item.seq <= self.covered).count();
        let present = &self.accepted[start.min(self.accepted.len())..];
        let common = found.iter().zip(present).take_while(|(a, b)| a == b).count();
        if found.is_empty() {
            assert!(self.durable <= released, "entries {released}..{} are lost", self.durable);
            self.accepted.truncate(released);
        } else {
            assert!(start <= released, "entries {released}..{start} are lost");
            assert!(start + common >= self.durable, "durable entries are lost from {} on", start + common);
            let rest = &found[common..];
            if !rest.is_empty() {
                assert_eq!(start + common, self.accepted.len(), "an entry is lost before a later one");
                assert!(self.undecided.starts_with(rest), "entries that were never accepted: {rest:?}");
            }
            self.accepted.truncate(start);
            self.accepted.extend(found);
        }
        self.durable = self.accepted.len();
        self.undecided.clear();
    }

    /// Plays the end of the world once for each policy, on copies.
    pub(super) fn check_crashes(&self, prefixes: usize, seeds: std::ops::Range<u64>) {
        for (_, image) in self.fs.crash_images(prefixes, seeds) {
            let mut after = Driver {
                fs: image,
                log: None,
                options: self.options.clone(),
                accepted: self.accepted.clone(),
                durable: self.durable,
                undecided: self.undecided.clone(),
                covered: self.covered,
                last_operation: u64::MAX,
                attempts: self.attempts,
            };
            after.reopen();
            // The log lives on, and what comes next stays readable beside the ruins.
            after.play(&Step::Append(vec![(100, vec![1, 2])]));
            after.play(&Step::Sync);
            after.play(&Step::Crash(CrashPolicy::Nothing));
        }
    }
}

/// The payload names the definitions that it needs.
fn payload(attempt: u64, length: usize, ids: &[u8]) -> Vec<u8> {
    let mut bytes = vec![ids.len() as u8];
    bytes.extend_from_slice(ids);
    bytes.extend_from_slice(&attempt.to_le_bytes());
    bytes.resize(bytes.len() + length, attempt as u8);
    bytes
}

pub(super) fn definition(id: u8) -> Arc<Definition> {
    Arc::new(Definition { fingerprint: u128::from(id) << 64 | 5, bytes: vec![id; usize::from(id) * 40] })
}

/// What one replay gave.
#[derive(Default)]
struct Replayed {
    items: Vec<Item>,
    /// Definitions, each with the number of entries before it.
    definitions: Vec<(usize, u128)>,
}

impl Replayed {
    fn take(&mut self, item: ReplayItem<'_>) -> Result<()> {
        match item {
            ReplayItem::Definition { fingerprint, bytes } => {
                assert_eq!(definition((fingerprint >> 64) as u8).bytes, bytes);
                self.definitions.push((self.items.len(), fingerprint));
            }
            ReplayItem::Entry { seq, payload } => self.items.push(Item { seq, payload: payload.to_vec() }),
        }
        Ok(())
    }

    /// Every entry is preceded, in its own file, by each definition that it needs, and no file has one twice.
    fn check_definitions(&self, report: &LogReport) {
        let (mut start, mut first) = (0, 0);
        for file in &report.files {
            let (end, last) = (start + file.entries as usize, first + file.definitions as usize);
            let inside = &self.definitions[first..last];
            let distinct: BTreeSet<u128> = inside.iter().map(|(_, fingerprint)| *fingerprint).collect();
            assert_eq!(distinct.len(), inside.len(), "a file holds a definition once");
            for (position, item) in self.items.iter().enumerate().take(end).skip(start) {
                for &id in &item.payload[1..=usize::from(item.payload[0])] {
                    let needed = definition(id).fingerprint;
                    let given = inside.iter().any(|(at, f)| *f == needed && *at <= position);
                    assert!(given, "entry {} comes before its definition", item.seq);
                }
            }
            (start, first) = (end, last);
        }
        assert_eq!((start, first), (self.items.len(), self.definitions.len()));
    }
}
