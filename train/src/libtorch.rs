//! The libtorch that this process runs on: its version, and its CUDA half, which is loaded at
//! start where there is one, so that one binary serves hosts with and without a GPU. Chooses no
//! device and prints nothing.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use seedbed::machine::CudaLibrary;

/// Loads libtorch's CUDA half where it lies beside the CPU half of this process. To be called
/// before the first tensor: libtorch looks once for its CUDA half. Later calls return the first
/// call's answer. A failure is for the caller to report when someone asks for a GPU.
pub fn load_cuda() -> &'static CudaLibrary {
    static ANSWER: OnceLock<CudaLibrary> = OnceLock::new();
    ANSWER.get_or_init(|| match folder().map(|folder| folder.join(library("torch_cuda"))) {
        Some(path) if path.exists() => load(&path),
        _ => CudaLibrary::Absent,
    })
}

/// The file of a library of libtorch's, as this operating system names it.
fn library(name: &str) -> String {
    format!("{DLL_PREFIX}{name}{DLL_SUFFIX}")
}

#[cfg(unix)]
fn load(path: &Path) -> CudaLibrary {
    use std::ffi::{CStr, CString};
    use std::os::unix::ffi::OsStrExt;

    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else {
        return CudaLibrary::Absent;
    };
    // SAFETY: `name` is a C string that outlives the call. The library's initialisers only register
    // operators; it is never unloaded. `dlerror` follows in the same thread, and its text is copied.
    unsafe {
        if !libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL).is_null() {
            return CudaLibrary::Loaded;
        }
        let message = libc::dlerror();
        CudaLibrary::Failed(if message.is_null() {
            format!("cannot load {}", path.display())
        } else {
            CStr::from_ptr(message).to_string_lossy().into_owned()
        })
    }
}

/// Refuses: how this system loads a library while a program runs is not written yet.
#[cfg(not(unix))]
fn load(path: &Path) -> CudaLibrary {
    CudaLibrary::Failed(format!("cannot load {} on this operating system", path.display()))
}

/// The folder that libtorch's CPU half was loaded from, as the loader names it. (A folder for CPUs alone
/// holds symlinks into the wheel, where an unusable CUDA half lies: following them would find that.)
#[cfg(unix)]
pub fn folder() -> Option<PathBuf> {
    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt;

    let place = crate::determinism::place_in_libtorch();
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the loader fills in what lies at a place in this process, or returns 0; the name is null or
    // a C string that lives as long as the library, which is never unloaded
    unsafe {
        if libc::dladdr(place, found.as_mut_ptr()) == 0 {
            return None;
        }
        let name = found.assume_init().dli_fname;
        let name = (!name.is_null()).then(|| CStr::from_ptr(name))?;
        Path::new(OsStr::from_bytes(name.to_bytes())).parent().map(Path::to_path_buf)
    }
}

/// The folder of the libtorch that this program was built with.
#[cfg(not(unix))]
pub fn folder() -> Option<PathBuf> {
    option_env!("LIBTORCH").map(|libtorch| Path::new(libtorch).join("lib"))
}

/// The version of a folder's libtorch: `build-version` is libtorch's own file, `version.py` that of the
/// Python wheel.
pub fn version_of(libtorch: &Path) -> Option<String> {
    if let Ok(text) = std::fs::read_to_string(libtorch.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = std::fs::read_to_string(libtorch.join("version.py")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
    Some(value.trim_matches(['\'', '"']).to_owned())
}

#[cfg(test)]
mod tests {
    use seedbed::machine::LIBTORCH;

    use super::*;
    use crate::about::versions;

    #[test]
    fn the_running_libtorch_is_found_and_is_the_wanted_one() {
        let folder = folder().expect("tests are linked against libtorch");
        assert!(folder.join(library("torch_cpu")).exists(), "{}", folder.display());
        assert_eq!(versions().libtorch.split('+').next(), Some(LIBTORCH));
    }

    #[test]
    fn cuda_is_loaded_exactly_where_its_library_lies_beside_the_cpu_one() {
        let beside = folder().is_some_and(|folder| folder.join(library("torch_cuda")).exists());
        assert_eq!(*load_cuda() == CudaLibrary::Absent, !beside);
    }

    #[test]
    fn a_library_that_cannot_be_loaded_is_reported_with_the_loaders_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(library("torch_cuda"));
        std::fs::write(&path, "no library").expect("a file");
        let CudaLibrary::Failed(message) = load(&path) else { panic!("loaded a text file") };
        assert!(message.contains(&library("torch_cuda")), "{message}");
    }

    #[test]
    fn versions_are_read_from_either_kind_of_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(version_of(folder.path()), None);
        let wheel = "from typing import Optional\n__version__ = '2.11.0+cu130'\ndebug = False\n";
        std::fs::write(folder.path().join("version.py"), wheel).expect("a file");
        assert_eq!(version_of(folder.path()).as_deref(), Some("2.11.0+cu130"));
        std::fs::write(folder.path().join("build-version"), "2.11.0\n").expect("a file");
        assert_eq!(version_of(folder.path()).as_deref(), Some("2.11.0"));
    }
}
