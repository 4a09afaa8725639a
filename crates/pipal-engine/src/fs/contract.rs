//! What every file system has to do, checked for each of them (SE-160 to SE-183).

use super::{DirEntry, FileSystem};
use pipal_model::ErrorKind;
use std::path::Path;

/// Runs all cases below the directory `root`, which exists and is empty.
pub(super) fn check(fs: &dyn FileSystem, root: &Path) {
    directories(fs, &root.join("directories"));
    files(fs, &root.join("files"));
    names(fs, &root.join("names"));
    locks(fs, &root.join("locks"));
    let space = fs.space(root).unwrap();
    assert!(space.free > 0 && space.free <= space.total);
}

fn directories(fs: &dyn FileSystem, root: &Path) {
    fs.create_dir_all(&root.join("x/y")).unwrap();
    fs.create_dir_all(&root.join("x/y")).unwrap();
    fs.create(&root.join("b")).unwrap();
    fs.create(&root.join("a")).unwrap();
    let entry = |name: &str, is_dir| DirEntry { name: name.into(), is_dir };
    assert_eq!(fs.list(root).unwrap(), [entry("a", false), entry("b", false), entry("x", true)]);
    fs.sync_dir(root).unwrap();

    assert_eq!(fs.list(&root.join("absent")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs.sync_dir(&root.join("absent")).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(fs.create_dir_all(&root.join("a/below-a-file")).is_err());

    fs.create(&root.join("x/y/file")).unwrap();
    fs.remove_dir_all(&root.join("x")).unwrap();
    fs.remove_dir_all(&root.join("x")).unwrap();
    assert_eq!(fs.list(root).unwrap(), [entry("a", false), entry("b", false)]);
}

fn files(fs: &dyn FileSystem, root: &Path) {
    fs.create_dir_all(root).unwrap();
    let path = root.join("file");
    let mut file = fs.create(&path).unwrap();
    assert!(file.is_empty());
    file.append(b"hello, ").unwrap();
    file.append(b"").unwrap();
    file.append(b"world").unwrap();
    file.sync().unwrap();
    assert_eq!(file.len(), 12);
    assert_eq!(fs.read(&path).unwrap(), b"hello, world");

    file.truncate(5).unwrap();
    file.append(b"!").unwrap();
    assert_eq!(fs.read(&path).unwrap(), b"hello!");
    file.truncate(8).unwrap();
    assert_eq!(fs.read(&path).unwrap(), b"hello!\0\0");
    file.rewrite(b"J", 0).unwrap();
    file.rewrite(b"h", 0).unwrap();
    assert!(file.rewrite(b"beyond", 3).is_err());
    assert_eq!(fs.read(&path).unwrap(), b"hello!\0\0");
    drop(file);

    let mut file = fs.open_writable(&path).unwrap();
    assert_eq!(file.len(), 8);
    file.append(b"?").unwrap();
    let reader = fs.open(&path).unwrap();
    assert_eq!(reader.size().unwrap(), 9);
    let mut buffer = [0; 4];
    reader.read_exact_at(&mut buffer, 5).unwrap();
    assert_eq!(&buffer, b"!\0\0?");
    let error = reader.read_exact_at(&mut buffer, 6).unwrap_err();
    assert!(error.to_string().contains("file"), "the error names the path: {error}");

    fs.remove_file(&path).unwrap();
    reader.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"hell", "an open file outlives its name");
    for error in [fs.open(&path).err(), fs.open_writable(&path).err(), fs.remove_file(&path).err()] {
        assert_eq!(error.unwrap().kind(), ErrorKind::NotFound);
    }
    assert!(fs.create(&root.join("absent/file")).is_err());

    fs.create(&path).unwrap().append(b"first").unwrap();
    assert!(fs.create(&path).unwrap().is_empty(), "create empties the file");
}

fn names(fs: &dyn FileSystem, root: &Path) {
    fs.create_dir_all(&root.join("other")).unwrap();
    let (a, b, c) = (root.join("a"), root.join("b"), root.join("other/c"));
    fs.create(&a).unwrap().append(b"a").unwrap();
    fs.link(&a, &b).unwrap();
    assert_eq!(fs.link(&a, &b).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs.link(&root.join("absent"), &c).unwrap_err().kind(), ErrorKind::NotFound);
    fs.open_writable(&a).unwrap().append(b"b").unwrap();
    assert_eq!(fs.read(&b).unwrap(), b"ab", "both names lead to one file");

    fs.rename(&a, &c).unwrap();
    assert_eq!(fs.open(&a).err().unwrap().kind(), ErrorKind::NotFound);
    fs.create(&a).unwrap().append(b"new").unwrap();
    fs.rename(&a, &c).unwrap();
    assert_eq!(fs.read(&c).unwrap(), b"new", "a rename replaces a file");
    assert_eq!(fs.read(&b).unwrap(), b"ab");
    assert_eq!(fs.rename(&a, &c).unwrap_err().kind(), ErrorKind::NotFound);

    fs.rename(&root.join("other"), &root.join("moved")).unwrap();
    assert_eq!(fs.read(&root.join("moved/c")).unwrap(), b"new");
}

fn locks(fs: &dyn FileSystem, root: &Path) {
    fs.create_dir_all(root).unwrap();
    let path = root.join("lock");
    let guard = fs.lock(&path).unwrap();
    assert_eq!(fs.lock(&path).err().unwrap().kind(), ErrorKind::FailedPrecondition);
    drop(guard);
    drop(fs.lock(&path).unwrap());
}
