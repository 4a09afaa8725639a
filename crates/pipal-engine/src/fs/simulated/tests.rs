use super::super::contract;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn keeps_the_contract_of_the_trait() {
    let fs = SimulatedFileSystem::new();
    fs.create_dir_all(Path::new("/root")).unwrap();
    contract::check(&fs, Path::new("/root"));
}

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Append(usize, usize),
    Truncate(usize, usize),
    Sync(usize),
    SyncDir(usize),
    Link(usize, usize),
    Rename(usize, usize),
    Remove(usize),
}

const PATHS: [&str; 6] = ["/a/0", "/a/1", "/a/2", "/b/0", "/b/1", "/b/2"];
const DIRECTORIES: [&str; 2] = ["/a", "/b"];

fn step() -> impl Strategy<Value = Step> {
    let path = 0..PATHS.len();
    prop_oneof![
        2 => path.clone().prop_map(Step::Create),
        6 => (path.clone(), 1usize..2000).prop_map(|(p, n)| Step::Append(p, n)),
        1 => (path.clone(), 0usize..2500).prop_map(|(p, n)| Step::Truncate(p, n)),
        3 => path.clone().prop_map(Step::Sync),
        2 => (0usize..2).prop_map(Step::SyncDir),
        1 => (path.clone(), path.clone()).prop_map(|(a, b)| Step::Link(a, b)),
        1 => (path.clone(), path.clone()).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => path.prop_map(Step::Remove),
    ]
}

/// What a careful reader of the documentation expects: files by number, names that lead to them, and for both how
/// much is certain to survive.
#[derive(Default)]
struct Expected {
    content: Vec<Vec<u8>>,
    /// Per file the synced bytes, as long as nothing but appends followed.
    synced: Vec<Option<Vec<u8>>>,
    names: BTreeMap<&'static str, usize>,
    /// Names whose directory was synced after the last change of that name.
    synced_names: BTreeMap<&'static str, usize>,
}

impl Expected {
    fn play(&mut self, fs: &SimulatedFileSystem, step: &Step, fill: u8) {
        match *step {
            Step::Create(p) => {
                fs.create(Path::new(PATHS[p])).unwrap();
                match self.names.get(PATHS[p]) {
                    Some(&file) => self.cut(file, 0),
                    None => {
                        self.content.push(Vec::new());
                        self.synced.push(None);
                        self.name(PATHS[p], Some(self.content.len() - 1));
                    }
                }
            }
            Step::Append(p, count) => self.with_file(fs, p, |expected, file, handle| {
                let bytes = vec![fill; count];
                handle.append(&bytes).unwrap();
                expected.content[file].extend(bytes);
            }),
            Step::Truncate(p, length) => self.with_file(fs, p, |expected, file, handle| {
                handle.truncate(length as u64).unwrap();
                expected.cut(file, length);
            }),
            Step::Sync(p) => self.with_file(fs, p, |expected, file, handle| {
                handle.sync().unwrap();
                expected.synced[file] = Some(expected.content[file].clone());
            }),
            Step::SyncDir(d) => {
                fs.sync_dir(Path::new(DIRECTORIES[d])).unwrap();
                let inside = self.names.iter().filter(|(name, _)| name.starts_with(DIRECTORIES[d]));
                self.synced_names.extend(inside);
            }
            Step::Link(a, b) => {
                let done = fs.link(Path::new(PATHS[a]), Path::new(PATHS[b])).is_ok();
                assert_eq!(done, self.names.contains_key(PATHS[a]) && !self.names.contains_key(PATHS[b]));
                if done {
                    self.name(PATHS[b], Some(self.names[PATHS[a]]));
                }
            }
            Step::Rename(a, b) => {
                let done = fs.rename(Path::new(PATHS[a]), Path::new(PATHS[b])).is_ok();
                assert_eq!(done, self.names.contains_key(PATHS[a]));
                if done && self.names.get(PATHS[a]) != self.names.get(PATHS[b]) {
                    self.name(PATHS[b], Some(self.names[PATHS[a]]));
                    self.name(PATHS[a], None);
                }
            }
            Step::Remove(p) => {
                let done = fs.remove_file(Path::new(PATHS[p])).is_ok();
                assert_eq!(done, self.names.contains_key(PATHS[p]));
                self.name(PATHS[p], None);
            }
        }
    }

    fn with_file(
        &mut self,
        fs: &SimulatedFileSystem,
        path: usize,
        act: impl FnOnce(&mut Expected, usize, &mut dyn WritableFile),
    ) {
        if let Some(&file) = self.names.get(PATHS[path]) {
            act(self, file, &mut *fs.open_writable(Path::new(PATHS[path])).unwrap());
        }
    }

    fn cut(&mut self, file: usize, length: usize) {
        if self.content[file].len() != length {
            self.content[file].resize(length, 0);
            self.synced[file] = None;
        }
    }

    fn name(&mut self, name: &'static str, file: Option<usize>) {
        self.synced_names.remove(name);
        match file {
            Some(file) => self.names.insert(name, file),
            None => self.names.remove(name),
        };
    }

    fn live(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.names.iter().map(|(name, &file)| (name.into(), self.content[file].clone())).collect()
    }
}

fn view(fs: &SimulatedFileSystem) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs.files().into_iter();
    files.map(|(path, _)| (path.clone(), fs.read(&path).unwrap())).collect()
}

fn prepared() -> SimulatedFileSystem {
    let fs = SimulatedFileSystem::new();
    DIRECTORIES.iter().for_each(|d| fs.create_dir_all(Path::new(d)).unwrap());
    fs
}

proptest! {
    #[test]
    fn what_was_synced_survives_every_crash(steps in prop::collection::vec(step(), 1..60), seed in 0u64..1000) {
        let fs = prepared();
        let mut expected = Expected::default();
        for (i, step) in steps.iter().enumerate() {
            expected.play(&fs, step, i as u8 + 1);
        }
        prop_assert_eq!(&view(&fs), &expected.live());
        let used: u64 = {
            let distinct: std::collections::BTreeSet<usize> = expected.names.values().copied().collect();
            distinct.iter().map(|&file| expected.content[file].len() as u64).sum()
        };
        let space = fs.space(Path::new("/")).unwrap();
        prop_assert_eq!(space.total - space.free, used);

        let everything = fs.crash_image(CrashPolicy::Everything);
        prop_assert_eq!(&view(&everything), &expected.live());
        prop_assert_eq!(view(&fs.crash_image(CrashPolicy::Prefix(fs.pending_changes()))), view(&everything));
        let nothing = fs.crash_image(CrashPolicy::Nothing);
        prop_assert_eq!(view(&fs.crash_image(CrashPolicy::Prefix(0))), view(&nothing));
        prop_assert_eq!(everything.pending_changes(), 0);

        for (policy, image) in fs.crash_images(6, seed..seed + 12) {
            let found = view(&image);
            prop_assert_eq!(&found, &view(&fs.crash_image(policy)), "the same choice gives the same disk");
            for (name, &file) in &expected.synced_names {
                let content = found.get(Path::new(name));
                prop_assert!(content.is_some(), "{policy:?} lost the name {name}");
                if let Some(synced) = &expected.synced[file] {
                    prop_assert!(content.unwrap().starts_with(synced), "{policy:?} lost bytes of {name}");
                }
            }
        }
    }
}

/// A crash image that never loses anything would make every test of recovery pass.
#[test]
fn unsynced_changes_can_get_lost_in_every_way() {
    let fs = prepared();
    let path = Path::new("/a/0");
    let mut file = fs.create(path).unwrap();
    file.append(&[1; 3000]).unwrap();
    assert!(view(&fs.crash_image(CrashPolicy::Nothing)).is_empty());
    file.sync().unwrap();
    assert!(
        view(&fs.crash_image(CrashPolicy::Nothing)).is_empty(),
        "the sync of a file does not cover its name"
    );
    fs.sync_dir(Path::new("/a")).unwrap();
    file.append(&[2; 3000]).unwrap();
    fs.create(Path::new("/b/1")).unwrap().append(b"unnamed").unwrap();

    let (mut torn, mut holes, mut stale, mut short, mut whole, mut empty) = (0, 0, 0, 0, 0, 0);
    for seed in 0..300 {
        let found = view(&fs.crash_image(CrashPolicy::Random(seed)));
        let bytes = &found[path];
        assert!(bytes.starts_with(&[1; 3000]));
        let tail = &bytes[3000..];
        short += usize::from(tail.is_empty());
        whole += usize::from(tail.len() == 3000 && tail.iter().all(|b| *b == 2));
        torn += usize::from(tail.contains(&2) && tail.contains(&0));
        holes += usize::from(!tail.is_empty() && tail[0] == 0 && tail.contains(&2));
        stale += usize::from(tail.iter().any(|b| *b != 0 && *b != 2));
        empty += usize::from(found.get(Path::new("/b/1")).is_some_and(Vec::is_empty));
        for sector in bytes.chunks(SECTOR_BYTES).skip(6) {
            assert!(sector.iter().all(|b| *b == sector[0]) || sector.starts_with(b"unnamed"));
        }
    }
    for (what, count) in
        [("torn", torn), ("short", short), ("whole", whole), ("holes", holes), ("empty", empty)]
    {
        assert!(count > 3, "{what}: {count} of 300");
    }
    assert_eq!(stale, 0, "the other file is shorter than the durable part");
}

#[test]
fn stale_bytes_show_where_a_length_arrived_without_data() {
    let fs = prepared();
    fs.overwrite(Path::new("/b/old"), &[9; 4096]).unwrap();
    let mut file = fs.create(Path::new("/a/0")).unwrap();
    fs.sync_dir(Path::new("/a")).unwrap();
    file.append(&[1; 4096]).unwrap();
    let images = (0..200).map(|seed| fs.crash_image(CrashPolicy::Random(seed)));
    let stale = images.filter(|image| image.read(Path::new("/a/0")).unwrap().contains(&9));
    assert!(stale.count() > 3);
}

#[test]
fn one_operation_fails_once() {
    let fs = prepared();
    let mut file = fs.create(Path::new("/a/0")).unwrap();
    let next = || fs.counters().operations + 1;

    fs.fail_at(next(), Fault::Eio);
    assert_eq!(file.append(b"abcd").unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(file.len(), 0);
    fs.fail_at(next(), Fault::Enospc);
    assert_eq!(file.append(b"abcd").unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(file.len(), 2);
    fs.fail_at(next(), Fault::ShortWrite);
    assert_eq!(file.append(b"efgh").unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(fs.read(Path::new("/a/0")).unwrap(), b"abef");
    file.append(b"!").unwrap();

    fs.fail_read_at(fs.counters().reads + 1);
    assert_eq!(fs.open(Path::new("/a/0")).err().unwrap().kind(), ErrorKind::Io);
    fs.open(Path::new("/a/0")).unwrap();

    fs.fail_at(next(), Fault::Eio);
    assert!(fs.remove_file(Path::new("/a/0")).is_err());
    fs.remove_file(Path::new("/a/0")).unwrap();
}

/// After a failed fsync Linux marks the pages clean: a second call reports success and writes nothing. Databases
/// that retried lost data (PostgreSQL, 2018).
#[test]
fn a_sync_after_a_failed_sync_does_not_help() {
    let fs = prepared();
    let path = Path::new("/a/0");
    let mut file = fs.create(path).unwrap();
    file.append(&[1; 1000]).unwrap();
    fs.sync_dir(Path::new("/a")).unwrap();
    fs.fail_at(fs.counters().operations + 1, Fault::Eio);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(fs.read(path).unwrap(), [1; 1000]);
    assert_eq!(fs.crash_image(CrashPolicy::Nothing).read(path).unwrap(), [0; 1000]);

    file.append(&[2; 1000]).unwrap();
    file.sync().unwrap();
    let durable = fs.crash_image(CrashPolicy::Nothing).read(path).unwrap();
    assert_eq!(durable[..512], [0; 512]);
    assert_eq!(durable[512..1000], [1; 488], "the sector was written again together with later bytes");
    assert_eq!(durable[1000..], [2; 1000]);

    file.rewrite(&[1; 1000], 0).unwrap();
    file.sync().unwrap();
    let durable = fs.crash_image(CrashPolicy::Nothing).read(path).unwrap();
    assert_eq!(durable[..1000], [1; 1000], "bytes that are written again are synced");
}

#[test]
fn after_the_cut_nothing_happens_any_more() {
    let fs = prepared();
    let mut file = fs.create(Path::new("/a/0")).unwrap();
    fs.sync_dir(Path::new("/a")).unwrap();
    fs.power_cut_after(fs.counters().operations + 1);
    file.append(b"last").unwrap();
    for _ in 0..2 {
        assert!(file.sync().unwrap_err().to_string().contains("the power is off"));
    }
    assert!(fs.read(Path::new("/a/0")).is_err());
    let image = fs.crash_image(CrashPolicy::Everything);
    assert_eq!(image.read(Path::new("/a/0")).unwrap(), b"last");
    image.create(Path::new("/a/1")).unwrap();
}

#[test]
fn a_full_disk_takes_what_fits_and_heals() {
    let fs = prepared();
    fs.set_capacity_bytes(1000);
    let mut file = fs.create(Path::new("/a/0")).unwrap();
    file.append(&[1; 900]).unwrap();
    assert_eq!(file.append(&[2; 200]).unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(file.len(), 1000);
    assert_eq!(fs.space(Path::new("/")).unwrap().free, 0);
    file.truncate(900).unwrap();
    file.append(&[2; 100]).unwrap();
    fs.remove_file(Path::new("/a/0")).unwrap();
    assert_eq!(fs.space(Path::new("/")).unwrap().free, 1000);
}

#[test]
fn a_fork_is_independent_and_holds_no_locks() {
    let fs = prepared();
    let path = Path::new("/a/0");
    fs.overwrite(path, &[0; 3]).unwrap();
    let _guard = fs.lock(Path::new("/a/lock")).unwrap();
    let fork = fs.fork();
    fork.lock(Path::new("/a/lock")).unwrap();
    fork.flip_bit(path, 9).unwrap();
    assert_eq!(fork.read(path).unwrap(), [0, 2, 0]);
    assert_eq!(fork.crash_image(CrashPolicy::Nothing).read(path).unwrap(), [0, 2, 0]);
    assert_eq!(fs.read(path).unwrap(), [0; 3]);
}

/// A file renamed between directories must not show up twice, whichever of the two is synced.
#[test]
fn a_rename_between_directories_is_atomic() {
    for synced in DIRECTORIES {
        let fs = prepared();
        fs.create(Path::new("/a/0")).unwrap();
        fs.rename(Path::new("/a/0"), Path::new("/b/0")).unwrap();
        fs.sync_dir(Path::new(synced)).unwrap();
        for (policy, image) in fs.crash_images(3, 0..20) {
            let paths: Vec<PathBuf> = image.files().into_iter().map(|(path, _)| path).collect();
            assert_eq!(paths, [PathBuf::from("/b/0")], "{policy:?} after the sync of {synced}");
        }
    }
}
