//! The libtorch that this process runs on: its version, and its CUDA half, which is loaded at
//! start where there is one, so that one binary serves hosts with and without a GPU. Chooses no
//! device and prints nothing.

use std::ffi::{CStr, CString, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use seedbed::machine::CudaLibrary;

/// Loads `libtorch_cuda.so` where it lies beside the `libtorch_cpu.so` of this process. To be called
/// before the first tensor: libtorch looks once for its CUDA half. Later calls return the first
/// call's answer. A failure is for the caller to report when someone asks for a GPU.
pub fn load_cuda() -> &'static CudaLibrary {
    static ANSWER: OnceLock<CudaLibrary> = OnceLock::new();
    ANSWER.get_or_init(|| match folder() {
        Some(folder) => load(&folder.join("libtorch_cuda.so")),
        None => CudaLibrary::Absent,
    })
}

fn load(path: &Path) -> CudaLibrary {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else {
        return CudaLibrary::Absent;
    };
    if !path.exists() {
        return CudaLibrary::Absent;
    }
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

/// The folder that `libtorch_cpu.so` was loaded from, as the loader names it. (`/proc/self/maps`
/// would follow the symlinks of a CPU folder into the wheel, where an unusable CUDA half lies.)
pub fn folder() -> Option<PathBuf> {
    let mut found: Option<PathBuf> = None;
    // SAFETY: the callback gets this very pointer back and is not called after the return.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
    found
}

/// Ends the iteration at `libtorch_cpu.so`, leaving its folder in the `Option<PathBuf>` at `found`.
unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, found: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid entry, whose name is a C string or null; `found` is the
    // pointer given to `dl_iterate_phdr` in `folder`.
    unsafe {
        let name = (*info).dlpi_name;
        if name.is_null() {
            return 0;
        }
        let path = Path::new(OsStr::from_bytes(CStr::from_ptr(name).to_bytes()));
        if path.file_name() != Some(OsStr::new("libtorch_cpu.so")) {
            return 0;
        }
        *found.cast::<Option<PathBuf>>() = path.parent().map(Path::to_path_buf);
        1
    }
}

/// `build-version` is libtorch's own file, `version.py` that of the Python wheel.
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
        assert!(folder.join("libtorch_cpu.so").exists(), "{}", folder.display());
        assert_eq!(versions().libtorch.split('+').next(), Some(LIBTORCH));
    }

    #[test]
    fn cuda_is_loaded_exactly_where_its_library_lies_beside_the_cpu_one() {
        let beside = folder().is_some_and(|folder| folder.join("libtorch_cuda.so").exists());
        assert_eq!(*load_cuda() == CudaLibrary::Absent, !beside);
    }

    #[test]
    fn a_library_that_cannot_be_loaded_is_reported_with_the_loaders_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("libtorch_cuda.so");
        assert_eq!(load(&path), CudaLibrary::Absent);
        std::fs::write(&path, "no library").expect("a file");
        let CudaLibrary::Failed(message) = load(&path) else { panic!("loaded a text file") };
        assert!(message.contains("libtorch_cuda.so"), "{message}");
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
