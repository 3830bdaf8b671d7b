//! The device that a job runs on: opened, waited for, and what a record says of it. Which devices there
//! are, the harness finds out.

use std::env;

use seedbed::error::Result;
use seedbed::machine::device::{card_number, not_here};
use seedbed::machine::gpu;
use seedbed::store::record::{OnCard, Provenance};
use tch::{Cuda, Device};

use crate::{about, determinism, libtorch};

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

/// Where and with what this process makes runs on a device; what is known of its card (`on_card`) left
/// out.
pub fn provenance(name: &str) -> Provenance {
    about::versions().provenance(name, tch::get_num_threads() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_here_or_not_a_device_is_refused_by_name() {
        assert_eq!(open("cpu"), Ok(Device::Cpu));
        for name in ["gpu", "cuda:x", "cpu:0", ""] {
            let message = open(name).unwrap_err().to_string();
            assert!(message.contains(&format!("'{name}'")), "{message}");
        }
    }
}
