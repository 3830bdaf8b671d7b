//! Files that appear whole or not at all: written beside their place, synced, then renamed. What a
//! killed process leaves half written has a name that no reader takes for a file's, and is swept
//! away. Knows nothing of what the files hold.
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::files;

/// How the name of a file begins and ends that is being written, or was when its writer died; between them
/// stand as many letters and digits.
const UNFINISHED: (&str, usize, &str) = (".writing-", 6, ".seedbed");

/// Puts bytes in a place, whatever was there.
///
/// # Errors
/// Those of the file system; what was there is then still there.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let file = unfinished(path, bytes.as_ref())?;
    file.persist(path).map_err(|refused| refused.error)?;
    sync_folder(path)
}

/// Puts bytes in a place where nothing is; false where something is.
///
/// # Errors
/// Those of the file system.
pub fn create(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<bool> {
    match unfinished(path, bytes.as_ref())?.persist_noclobber(path) {
        Ok(_) => sync_folder(path).map(|()| true),
        Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(refused) => Err(refused.error),
    }
}

/// Removes what dead writers left in a folder. Whoever writes holds a lock on the file, which the
/// system takes from the dead. What cannot be locked or removed now is no file that anyone reads.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !is_unfinished(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        if files::open_to_change(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            drop(fs::remove_file(&path));
        }
    }
}

/// Whether a file is one of those that are written here: others may begin with the same word.
fn is_unfinished(name: &OsStr) -> bool {
    let (start, count, end) = UNFINISHED;
    let middle = name.to_str().and_then(|name| name.strip_prefix(start)?.strip_suffix(end));
    middle.is_some_and(|middle| {
        middle.len() == count && middle.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Makes a folder and those above it that are missing, so that they last as long as what is then written
/// into them.
///
/// # Errors
/// Those of the file system.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut ancestors = folder.ancestors().filter(|folder| !folder.as_os_str().is_empty());
    while let Some(ancestor) = ancestors.next().filter(|folder| !folder.exists()) {
        missing.push(ancestor);
    }
    fs::create_dir_all(folder)?;
    missing.iter().rev().try_for_each(|folder| sync_folder(folder))
}

/// Makes a file's name last as long as its bytes: until then a power cut may take it back.
fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(folder_of(path))?.sync_all() {
        // some file systems have no such thing for folders
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Ok(())
        }
        ended => ended,
    }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// The whole file, under another name beside its place.
fn unfinished(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // as for any file that a program writes: temporary ones are private by default
    let (start, count, end) = UNFINISHED;
    builder.prefix(start).rand_bytes(count).suffix(end);
    builder.permissions(Permissions::from_mode(0o666));
    let mut file = loop {
        let file = builder.tempfile_in(folder_of(path))?;
        // without locks nothing is swept
        drop(file.as_file().lock());
        let was_swept = file.as_file().metadata()?.nlink() == 0;
        if !was_swept {
            break file;
        }
    };
    file.write_all(bytes)?;
    // only this tells of a full disk where space is found late, as on NFS
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = fs::read_dir(folder).unwrap().map(name);
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_or_made_once_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        assert!(create(&path, "first").unwrap());
        assert!(!create(&path, "second").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        write(&path, "third").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third");
        assert!(write(&folder.path().join("missing/table.csv"), "").is_err());
        assert_eq!(names(folder.path()), ["table.csv"]);
    }

    #[test]
    fn a_folder_is_made_with_those_above_it_and_may_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_folder(&deep).unwrap();
        create_folder(&deep).unwrap();
        assert!(deep.is_dir());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(create_folder(&folder.path().join("file/below")).is_err());
    }

    #[test]
    fn what_a_dead_writer_left_is_swept_and_what_a_living_one_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let living = unfinished(&path, b"half").unwrap();
        let left = unfinished(&path, b"half").unwrap();
        // as after a kill: the lock is gone and the name is there
        let (file, left) = left.keep().unwrap();
        drop(file);
        // files of the user's
        let own = [".writing-notes.txt", ".writing-abcdef", ".writing-no.tes.seedbed"];
        let own = own.map(|name| folder.path().join(name));
        own.iter().for_each(|path| fs::write(path, "mine").unwrap());
        sweep(folder.path());
        assert!(!left.exists());
        own.iter().for_each(|path| fs::remove_file(path).unwrap());
        living.persist(&path).unwrap();
        sweep(folder.path());
        assert_eq!(names(folder.path()), ["table.csv"]);
    }
}
