//! The NVIDIA cards that this process may use, as their driver tells of them: NVML, loaded at run
//! time where there is a driver. Starts nothing on a card and chooses none.

use std::env;
use std::ffi::OsStr;
use std::sync::OnceLock;

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use serde::Serialize;

use crate::machine::memory::Memory;

/// A card, or a part of one (MIG).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Card {
    /// `GPU-…`, by which CUDA_VISIBLE_DEVICES names it whatever order CUDA counts cards in.
    pub uuid: String,
    pub model: String,
    /// Absent where the driver does not tell.
    pub memory: Option<Memory>,
    /// The share of the last second or so in which it computed, in percent.
    pub utilisation: Option<u32>,
}

/// Libraries by which the driver is asked: the second comes with developers' packages only.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// The cards that this process may use, in the order in which `cuda:0`, `cuda:1` … number them:
/// that of CUDA_VISIBLE_DEVICES, else that of the bus. Empty where there is no driver.
///
/// # Errors
/// What the driver says where there is one that cannot be asked.
pub fn cards() -> Result<Vec<Card>, String> {
    let nvml = match nvml() {
        Ok(nvml) => nvml,
        Err(None) => return Ok(Vec::new()),
        Err(Some(error)) => return Err(error.clone()),
    };
    let told = |error: NvmlError| format!("the NVIDIA driver answers: {error}");
    let count = nvml.device_count().map_err(told)?;
    let device = |index| match nvml.device_by_index(index) {
        // a batch system may keep others' cards from us, and CUDA then does not count them
        Err(NvmlError::NoPermission) => None,
        found => Some(found),
    };
    let all: Vec<Device> = (0..count).filter_map(device).collect::<Result<_, _>>().map_err(told)?;
    let uuids: Vec<String> =
        all.iter().map(Device::uuid).collect::<Result<_, _>>().map_err(told)?;
    let list = env::var("CUDA_VISIBLE_DEVICES").ok();
    let visible = visible(&uuids, list.as_deref());
    let card = |uuid: String| {
        let device = nvml.device_by_uuid(uuid.as_str()).map_err(told)?;
        let memory = device.memory_info().ok();
        Ok(Card {
            model: device.name().map_err(told)?,
            memory: memory.map(|memory| Memory { total: memory.total, free: memory.free }),
            utilisation: device.utilization_rates().ok().map(|rates| rates.gpu),
            uuid,
        })
    };
    visible.into_iter().map(card).collect()
}

/// Memory of one card now.
pub fn memory(uuid: &str) -> Option<Memory> {
    let memory = nvml().as_ref().ok()?.device_by_uuid(uuid).ok()?.memory_info().ok()?;
    Some(Memory { total: memory.total, free: memory.free })
}

/// The library, once; no reason where there is no driver.
fn nvml() -> &'static Result<Nvml, Option<String>> {
    static NVML: OnceLock<Result<Nvml, Option<String>>> = OnceLock::new();
    NVML.get_or_init(|| {
        let mut reason = None;
        for library in LIBRARIES {
            match Nvml::builder().lib_path(OsStr::new(library)).init() {
                Ok(nvml) => return Ok(nvml),
                Err(NvmlError::LibloadingError(_)) => {}
                Err(error) => reason = Some(format!("the NVIDIA driver cannot be asked: {error}")),
            }
        }
        Err(reason)
    })
}

/// The cards that a value of CUDA_VISIBLE_DEVICES leaves, as CUDA reads it: numbers, or beginnings
/// of names, up to the first that is neither. A part of a card (`MIG-…`) stands for itself.
fn visible(uuids: &[String], list: Option<&str>) -> Vec<String> {
    let Some(list) = list else { return uuids.to_vec() };
    let find = |word: &str| {
        if let Ok(number) = word.parse::<usize>() {
            return uuids.get(number).cloned();
        }
        if word.starts_with("MIG-") {
            return Some(word.to_owned());
        }
        let mut named = uuids.iter().filter(|uuid| !word.is_empty() && uuid.starts_with(word));
        // a beginning that several share names none
        named.next().filter(|_| named.next().is_none()).cloned()
    };
    list.split(',').map_while(|word| find(word.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_visible_cards_is_read_as_cuda_reads_it() {
        let uuids = ["GPU-aa1", "GPU-aa2", "GPU-b"].map(str::to_owned);
        let visible = |list| visible(&uuids, list);
        assert_eq!(visible(None), uuids);
        assert_eq!(visible(Some("2,0")), ["GPU-b", "GPU-aa1"]);
        assert_eq!(visible(Some("GPU-b, GPU-aa2")), ["GPU-b", "GPU-aa2"]);
        assert_eq!(visible(Some("1,7,0")), ["GPU-aa2"]);
        assert_eq!(visible(Some("0,GPU-aa,1")), ["GPU-aa1"]);
        assert_eq!(visible(Some("MIG-5,1")), ["MIG-5", "GPU-aa2"]);
        for none in ["", "-1", "NoDevFiles"] {
            assert!(visible(Some(none)).is_empty(), "{none}");
        }
    }

    #[test]
    fn a_machine_without_a_driver_has_no_cards_and_one_with_a_driver_names_them() {
        let cards = cards().unwrap();
        assert!(cards.iter().all(|card| !card.uuid.is_empty() && !card.model.is_empty()));
        assert!(nvml().is_ok() || cards.is_empty());
    }
}
