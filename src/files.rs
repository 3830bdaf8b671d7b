//! Opens files that may be anybody's: regular ones, without waiting, of no more bytes than their kind may hold.
//! A pipe that nobody writes to, a device without an end or a link to either is refused by name, as any other
//! file that is none. What is written goes through `store::whole`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes of a table of runs or of what runs left: a million of them.
pub const LARGEST_TABLE: u64 = 4 << 30;

/// Bytes of a file that holds a line or two, such as a claim.
pub const LARGEST_NOTE: u64 = 1 << 16;

/// Opens a regular file of at most `most` bytes for reading.
///
/// # Errors
/// Those of the file system, and what is too long or no file.
pub fn open(path: &Path, most: u64) -> io::Result<File> {
    // a pipe without a writer would be waited for
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if found.len() > most {
        return Err(too_long(found.len(), most));
    }
    Ok(file)
}

/// Opens a file for writing that is there and regular; its bytes stay until they are written over.
///
/// # Errors
/// Those of the file system, a link in its place, and what is no file.
pub fn open_to_change(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// Refuses folders between one and another below it that are symbolic links: what is written there would come
/// to lie elsewhere. What is not there is no link.
///
/// # Errors
/// Such a link.
pub fn refuse_links(top: &Path, below: &Path) -> io::Result<()> {
    let is_link = |folder: &&Path| folder.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let mut folders = below.ancestors().take_while(|folder| *folder != top);
    match folders.find(is_link) {
        Some(link) => Err(io::Error::other(format!(
            "{} is a symbolic link, by which results would be written elsewhere; put the folder itself there",
            link.display()
        ))),
        None => Ok(()),
    }
}

/// Reads a regular file of at most `most` bytes, however long it says that it is.
///
/// # Errors
/// As [`open()`].
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, most)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        length if length > most => Err(too_long(length, most)),
        _ => Ok(bytes),
    }
}

/// Reads a regular file of at most `most` bytes as text.
///
/// # Errors
/// As [`open()`], and bytes that are no UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let bytes = read(path, most)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text: not UTF-8"))
}

fn too_long(length: u64, most: u64) -> io::Error {
    io::Error::other(format!("it has {length} bytes; {most} is the limit"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_no_regular_file_or_too_long_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let [pipe, link, long, whole] =
            ["pipe", "link", "long", "whole"].map(|name| folder.path().join(name));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        std::fs::write(&long, "12345").unwrap();
        std::fs::write(&whole, "1234").unwrap();
        for path in [&pipe, &link, Path::new("/dev/zero"), folder.path()] {
            for found in [open(path, 4).map(drop), read(path, 4).map(drop)] {
                let text = found.unwrap_err().to_string();
                assert!(text.contains("no regular file"), "{}: {text}", path.display());
            }
            assert!(open_to_change(path).is_err(), "{}", path.display());
        }
        assert!(read(&long, 4).unwrap_err().to_string().contains("5 bytes; 4 is the limit"));
        assert_eq!(read_text(&whole, 4).unwrap(), "1234");
        let refused = refuse_links(folder.path(), &link.join("a/b")).unwrap_err().to_string();
        assert!(
            refused.starts_with(&format!("{} is a symbolic link", link.display())),
            "{refused}"
        );
        assert!(refuse_links(folder.path(), &folder.path().join("a/b")).is_ok());
        assert!(open_to_change(&whole).is_ok());
        std::fs::write(&whole, [0xff]).unwrap();
        assert!(read_text(&whole, 4).unwrap_err().to_string().contains("UTF-8"));
    }
}
