//! The one error type: what failed, in words that name the file, the key and the next step,
//! and which exit code it earns. It does not print and does not exit; `main` does.

use std::io::{self, ErrorKind};
use std::path::Path;

/// Result of everything a user can make fail.
pub type Result<T> = std::result::Result<T, Error>;

/// An error message for people, sorted by the exit code it leads to.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Usage or configuration: a wrong flag, a wrong key in a TOML file. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Data missing, or not the data it should be. Exit code 3.
    #[error("{0}")]
    Data(String),
    /// The file system, a process or a device failed. Exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// What the file system refused, as `cannot <what> <path>: <error>; <what to do>`.
    pub fn of_file(what: &str, path: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "; free space there, then start again: what is stored stays"
            }
            ErrorKind::FileTooLarge => {
                "; raise the limit of a file's size (ulimit -f), then start again: what is stored stays"
            }
            ErrorKind::ReadOnlyFilesystem => {
                "; make its file system writable, then start again, or name another folder with \
                 --out"
            }
            ErrorKind::PermissionDenied => {
                "; get permission for it, then start again, or name another folder with --out"
            }
            ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::NotConnected
            | ErrorKind::StaleNetworkFileHandle => "; is its file system mounted?",
            // the system's kinds grow, and its own words say what it is
            _ => "",
        };
        Self::Failed(format!("cannot {what} {}: {error}{advice}", path.display()))
    }

    /// The process exit code of this error (2, 3 or 1).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Data(_) => 3,
            Self::Failed(_) => 1,
        }
    }
}
