//! The devices of this machine, and the one a job runs on: names, kinds, memory, and what a record
//! says of it. Which jobs run where is `schedule`'s business.

use std::env;
use std::sync::OnceLock;

use serde::Serialize;
use tch::{Cuda, Device};

use crate::determinism;
use crate::error::{Error, Result};
use crate::gpu;
use crate::libtorch::{self, CudaLibrary};
use crate::memory::{self, Memory};
use crate::record::{OnCard, Provenance};

/// A place for tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// As `--device` spells it: `cpu`, `cuda:0`.
    pub name: String,
    /// The processor's or the card's own name.
    pub model: String,
    /// In bytes; absent where the system does not tell.
    pub memory: Option<Memory>,
    /// The share of the last second or so in which a card computed, in percent.
    pub utilisation: Option<u32>,
}

/// The CPU, then every card that this process may use and this libtorch can.
///
/// # Errors
/// `Failed` where there are cards and their driver or libtorch's CUDA half does not work.
pub fn here() -> Result<Vec<DeviceInfo>> {
    let model = libtorch::cpu_model();
    let cpu = DeviceInfo { name: "cpu".into(), model, memory: memory::host(), utilisation: None };
    let broken = |reason: &str| {
        let next = "run 'seedbed doctor', or train with --device cpu";
        Error::Failed(format!("there are NVIDIA cards that cannot be used: {reason}; {next}"))
    };
    let cards = match libtorch::load_cuda() {
        CudaLibrary::Absent => Vec::new(),
        CudaLibrary::Loaded => gpu::cards().map_err(|reason| broken(&reason))?,
        CudaLibrary::Failed(reason) => match gpu::cards() {
            Ok(cards) if cards.is_empty() => cards,
            Ok(_) | Err(_) => return Err(broken(reason)),
        },
    };
    let number = |(number, card): (usize, gpu::Card)| DeviceInfo {
        name: format!("cuda:{number}"),
        model: card.model,
        memory: card.memory,
        utilisation: card.utilisation,
    };
    Ok(std::iter::once(cpu).chain(cards.into_iter().enumerate().map(number)).collect())
}

/// The number of a card, `cuda:3` → 3; none for the CPU.
///
/// # Errors
/// `Usage` for what is no device.
fn card_number(name: &str) -> Result<Option<usize>> {
    let number = match name.strip_prefix("cuda") {
        None if name == "cpu" => return Ok(None),
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix(':').and_then(|number| number.parse::<usize>().ok()),
        None => None,
    };
    number.map(Some).ok_or_else(|| {
        Error::Usage(format!("device '{name}' is none of cpu, cuda, cuda:0, cuda:1 …"))
    })
}

/// What a worker's CUDA_VISIBLE_DEVICES is to be: the one card that its device is, or none.
///
/// # Errors
/// `Usage` for a device that is not here.
pub fn visible(name: &str) -> Result<String> {
    match card_number(name)? {
        None => Ok(String::new()),
        Some(number) => uuids().get(number).cloned().ok_or_else(|| not_here(name, uuids().len())),
    }
}

/// Memory of a device now, where the system tells.
pub fn memory(name: &str) -> Option<Memory> {
    match card_number(name).ok()? {
        None => memory::host(),
        Some(number) => gpu::memory(uuids().get(number)?),
    }
}

/// Of all cards, by number. Asked once: CUDA_VISIBLE_DEVICES does not change under a process.
fn uuids() -> &'static [String] {
    static UUIDS: OnceLock<Vec<String>> = OnceLock::new();
    // who could not ask the driver has found no card either
    let ask = || gpu::cards().unwrap_or_default().into_iter().map(|card| card.uuid).collect();
    UUIDS.get_or_init(ask)
}

fn not_here(name: &str, count: usize) -> Error {
    Error::Usage(format!("device '{name}' is not here: there are {count}; run 'seedbed doctor'"))
}

/// The device of a worker by its name, `cpu` or `cuda:N`, with libtorch told to compute on it in
/// the same way each time. A worker sees one card (`visible`), which is its first whatever its number
/// among all.
///
/// # Errors
/// `Usage` for what is no device, and for a card where libtorch sees none.
pub fn open(name: &str) -> Result<Device> {
    determinism::enforce();
    if card_number(name)?.is_none() {
        return Ok(Device::Cpu);
    }
    libtorch::load_cuda();
    if !Cuda::is_available() {
        return Err(not_here(name, 0));
    }
    Ok(Device::Cuda(0))
}

/// Waits until a device has done what it was given.
pub fn wait_for(device: Device) {
    if let Device::Cuda(number) = device {
        Cuda::synchronize(number as i64);
    }
}

/// `cpu` or `cuda`: the part of a device's name that is part of a run's key.
pub fn kind(name: &str) -> &'static str {
    if name.starts_with("cuda") { "cuda" } else { "cpu" }
}

/// The card that this worker sees; none where it computes on the CPU or the driver does not tell.
fn own_card(device: Device) -> Option<gpu::Card> {
    let cards = if device == Device::Cpu { Vec::new() } else { gpu::cards().unwrap_or_default() };
    cards.into_iter().next()
}

/// The share of the last second or so in which a worker's card computed, in percent.
pub fn utilisation(device: Device) -> Option<u32> {
    own_card(device)?.utilisation
}

/// What a worker's record says of its card; nothing of the CPU.
pub fn on_card(device: Device) -> Option<OnCard> {
    (device != Device::Cpu).then(|| OnCard {
        model: own_card(device).map_or_else(String::new, |card| card.model),
        switches: determinism::switches(),
        cublas_workspace: env::var("CUBLAS_WORKSPACE_CONFIG").unwrap_or_default(),
    })
}

/// Where and with what this process, or a worker that it starts, makes runs on a device; what is
/// known in the worker alone (`on_card`) left out.
pub fn provenance(name: &str) -> Provenance {
    let versions = libtorch::versions();
    Provenance {
        commit: versions.commit.to_owned(),
        dirty: versions.dirty,
        seedbed: versions.seedbed.to_owned(),
        tch: versions.tch.to_owned(),
        libtorch: versions.libtorch,
        device: name.to_owned(),
        cpu: libtorch::cpu_model(),
        threads: tch::get_num_threads() as usize,
        host: std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| String::new(), |name| name.trim().to_owned()),
        card: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_here_or_not_a_device_is_refused_by_name() {
        assert_eq!(open("cpu"), Ok(Device::Cpu));
        assert_eq!(visible("cpu"), Ok(String::new()));
        for name in ["gpu", "cuda:x", "cuda:99", "cpu:0", ""] {
            let message = visible(name).unwrap_err().to_string();
            assert!(message.contains(&format!("'{name}'")), "{message}");
            assert_eq!(memory(name), None);
        }
    }

    #[test]
    fn the_cpu_is_always_here_and_every_card_has_a_name_of_its_own() {
        let devices = here().unwrap();
        assert_eq!(devices[0].name, "cpu");
        let cards = devices[1..].iter().map(|device| visible(&device.name).unwrap());
        assert_eq!(cards.collect::<std::collections::BTreeSet<_>>().len(), devices.len() - 1);
    }
}
