//! The devices of this machine: names, kinds, and memory. Opens none: the trainer does.

use std::sync::OnceLock;

use serde::Serialize;

use super::gpu;
use super::memory::{self, Memory};
use super::{About, CudaLibrary, cpu_model};
use crate::error::{Error, Result};

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

/// The CPU, then every card that this process may use and libtorch can, of which `about` asks the
/// trainer; it is not asked where there is no card.
///
/// # Errors
/// `Failed` where there are cards and their driver or libtorch's CUDA half does not work, and those of
/// `about`.
pub fn here(about: &dyn Fn() -> Result<About>) -> Result<Vec<DeviceInfo>> {
    let broken = |reason: &str| {
        let next = "run 'seedbed doctor', or train with --device cpu";
        Error::Failed(format!("there are NVIDIA cards that cannot be used: {reason}; {next}"))
    };
    let cards = match gpu::cards() {
        Ok(cards) if cards.is_empty() => cards,
        found => match about()?.cuda {
            CudaLibrary::Absent => Vec::new(),
            CudaLibrary::Loaded => found.map_err(|reason| broken(&reason))?,
            CudaLibrary::Failed(reason) => return Err(broken(&reason)),
        },
    };
    let number = |(number, card): (usize, gpu::Card)| DeviceInfo {
        name: format!("cuda:{number}"),
        model: card.model,
        memory: card.memory,
        utilisation: card.utilisation,
    };
    Ok(std::iter::once(cpu()).chain(cards.into_iter().enumerate().map(number)).collect())
}

/// This machine's processor.
pub fn cpu() -> DeviceInfo {
    let (model, memory) = (cpu_model(), memory::host());
    DeviceInfo { name: "cpu".into(), model, memory, utilisation: None }
}

/// The number of a card, `cuda:3` → 3; none for the CPU.
///
/// # Errors
/// `Usage` for what is no device.
pub fn card_number(name: &str) -> Result<Option<usize>> {
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

pub fn not_here(name: &str, count: usize) -> Error {
    Error::Usage(format!("device '{name}' is not here: there are {count}; run 'seedbed doctor'"))
}

/// `cpu` or `cuda`: the part of a device's name that is part of a run's key.
pub fn kind(name: &str) -> &'static str {
    if name.starts_with("cuda") { "cuda" } else { "cpu" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_here_or_not_a_device_is_refused_by_name() {
        assert_eq!(visible("cpu"), Ok(String::new()));
        for name in ["gpu", "cuda:x", "cuda:99", "cpu:0", ""] {
            let message = visible(name).unwrap_err().to_string();
            assert!(message.contains(&format!("'{name}'")), "{message}");
            assert_eq!(memory(name), None);
        }
    }

    #[test]
    fn the_cpu_is_always_here_and_every_card_has_a_name_of_its_own() {
        let cuda = || {
            let versions = super::super::Versions::of_build(String::new());
            let (folder, broken) = (None, None);
            Ok(About { versions, folder, broken, cuda: CudaLibrary::Loaded, cards: 0 })
        };
        let devices = here(&cuda).unwrap();
        assert_eq!(devices[0].name, "cpu");
        let cards = devices[1..].iter().map(|device| visible(&device.name).unwrap());
        assert_eq!(cards.collect::<std::collections::BTreeSet<_>>().len(), devices.len() - 1);
    }
}
