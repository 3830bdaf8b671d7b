//! The device a job runs on: its name, its kind and what a record says of it. Which jobs run
//! where is `schedule`'s business.

use tch::{Cuda, Device};

use crate::error::{Error, Result};
use crate::libtorch;
use crate::record::Provenance;

/// `cpu`, `cuda` (the first GPU) or `cuda:N`; a device that this process cannot use is an error.
pub fn parse(name: &str) -> Result<Device> {
    let number = match name.strip_prefix("cuda") {
        None if name == "cpu" => return Ok(Device::Cpu),
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix(':').and_then(|number| number.parse::<usize>().ok()),
        None => None,
    };
    let Some(number) = number else {
        return Err(Error::Usage(format!(
            "device '{name}' is none of cpu, cuda, cuda:0, cuda:1 …"
        )));
    };
    libtorch::load_cuda();
    if !Cuda::is_available() || number as i64 >= Cuda::device_count() {
        return Err(Error::Usage(format!(
            "device '{name}' is not here: libtorch sees {} CUDA devices; run 'seedbed doctor'",
            Cuda::device_count()
        )));
    }
    Ok(Device::Cuda(number))
}

/// `cpu` or `cuda`: the part of a device that is part of a run's key.
pub fn kind(device: Device) -> &'static str {
    if device.is_cuda() { "cuda" } else { "cpu" }
}

/// Where and with what this process makes runs.
pub fn provenance(device: Device) -> Provenance {
    let name = match device {
        Device::Cuda(number) => format!("cuda:{number}"),
        Device::Cpu | Device::Mps | Device::Vulkan => "cpu".to_owned(),
    };
    let versions = libtorch::versions();
    Provenance {
        commit: versions.commit.to_owned(),
        dirty: versions.dirty,
        seedbed: versions.seedbed.to_owned(),
        tch: versions.tch.to_owned(),
        libtorch: versions.libtorch,
        device: name,
        cpu: libtorch::cpu_model(),
        threads: tch::get_num_threads() as usize,
        host: std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| String::new(), |name| name.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_here_or_not_a_device_is_refused_by_name() {
        assert_eq!(parse("cpu"), Ok(Device::Cpu));
        for name in ["gpu", "cuda:x", "cuda:99", "cpu:0", ""] {
            let message = parse(name).unwrap_err().to_string();
            assert!(message.contains(&format!("'{name}'")), "{message}");
        }
    }
}
