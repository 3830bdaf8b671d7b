//! This machine: its processor, memory and cards, and what the trainer says of itself. Looks and
//! decides nothing: what runs where is `schedule`'s business.

pub mod device;
pub mod doctor;
pub mod gpu;
pub mod memory;
pub(crate) mod process;

use serde::{Deserialize, Serialize};

use crate::store::record::Provenance;

/// The libtorch that the trainer is written for.
pub const LIBTORCH: &str = "2.11.0";

/// Versions that a record's provenance names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    pub seedbed: String,
    /// Empty where the program was built outside a repository of its own.
    pub commit: String,
    /// Whether the sources differed from that commit.
    pub dirty: bool,
    pub tch: String,
    /// `unknown` where the folder of a user's libtorch does not say; empty without a trainer.
    pub libtorch: String,
}

impl Versions {
    /// Those of this build; libtorch's is known to the trainer alone.
    pub fn of_build(libtorch: String) -> Self {
        Self {
            seedbed: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("SEEDBED_COMMIT").to_owned(),
            dirty: env!("SEEDBED_DIRTY") == "true",
            tch: env!("SEEDBED_TCH").to_owned(),
            libtorch,
        }
    }

    /// What a record says of a run made with these versions on this machine.
    pub fn provenance(&self, device: &str, threads: usize) -> Provenance {
        Provenance {
            commit: self.commit.clone(),
            dirty: self.dirty,
            seedbed: self.seedbed.clone(),
            tch: self.tch.clone(),
            libtorch: self.libtorch.clone(),
            device: device.to_owned(),
            cpu: cpu_model(),
            threads,
            host: host_name(),
            rustc: env!("SEEDBED_RUSTC").to_owned(),
            glibc: glibc(),
            card: None,
            environment: String::new(),
            elsewhere: None,
        }
    }
}

/// What became of `libtorch_cuda.so`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CudaLibrary {
    /// It does not lie beside `libtorch_cpu.so`: a CPU build.
    Absent,
    Loaded,
    /// It lies there and cannot be loaded; the loader's message.
    Failed(String),
}

/// What the trainer says of itself and of the libtorch that it has loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    pub versions: Versions,
    /// The folder that libtorch was loaded from; none where it is linked into the program.
    pub folder: Option<String>,
    /// Why libtorch cannot compute; none where it can.
    pub broken: Option<String>,
    pub cuda: CudaLibrary,
    /// Cards that libtorch sees.
    pub cards: usize,
}

/// The processor's name, as Linux gives it; elsewhere the architecture.
pub fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    field(&text, "model name").unwrap_or(std::env::consts::ARCH).to_owned()
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// The version of the GNU C library that this process runs on; empty where there is none.
fn glibc() -> String {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: returns a C string that lives as long as the process
        let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        version.to_string_lossy().into_owned()
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    String::new()
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| String::new(), |name| name.trim().to_owned())
}
