//! What `--device`, `--slots` and `--width` come to on this machine.
use super::{Slot, trainer};
use crate::error::{Error, Result};
use crate::machine::device;

/// Seeds that train together in one job on a CPU, unless told otherwise.
pub const WIDTH_CPU: usize = 1;
/// Seeds that train together in one job on a GPU, unless told otherwise.
pub const WIDTH_CUDA: usize = 20;

/// Where jobs run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    /// `cpu` or `cuda`: all are of one kind.
    pub kind: &'static str,
    pub slots: Vec<Slot>,
    /// Seeds that train together in one job.
    pub width: usize,
}

impl Devices {
    /// Finds the devices that are asked for by `auto`, `cpu`, `cuda` or `cuda:0,1`, with so many slots
    /// on each (one a core, or one a GPU) and so many seeds in a job.
    ///
    /// # Errors
    /// `Usage` for devices that are not here, and as [`device::here`].
    pub fn find(asked: &str, slots: Option<usize>, width: Option<usize>) -> Result<Self> {
        let names = names(asked)?;
        let kind = device::kind(&names[0]);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (usual_slots, usual_width) = match kind {
            "cuda" => (1, WIDTH_CUDA),
            _ => (cores, WIDTH_CPU),
        };
        let each = slots.unwrap_or(usual_slots);
        let places = names.iter().flat_map(|name| vec![name.clone(); each]);
        let slots = places.enumerate().map(|(index, device)| Slot { device, index }).collect();
        Ok(Self { kind, slots, width: width.unwrap_or(usual_width) })
    }
}

/// Turns `auto`, `cpu`, `cuda` or `cuda:0,1` into the devices' own names, each checked to be here.
fn names(asked: &str) -> Result<Vec<String>> {
    if asked == "cpu" {
        return Ok(vec!["cpu".to_owned()]);
    }
    let here = device::here(&trainer::about)?;
    let cuda =
        here.into_iter().map(|device| device.name).filter(|name| device::kind(name) == "cuda");
    let cuda: Vec<String> = cuda.collect();
    match asked {
        "auto" if cuda.is_empty() => Ok(vec!["cpu".to_owned()]),
        "auto" => Ok(cuda),
        "cuda" if !cuda.is_empty() => Ok(cuda),
        _ => {
            let numbers = asked.strip_prefix("cuda:").unwrap_or("0").split(',');
            let names: Vec<String> = numbers.map(|number| format!("cuda:{number}")).collect();
            let named_cuda = asked == "cuda" || asked.starts_with("cuda:");
            match names.iter().find(|name| !cuda.contains(name)) {
                None if named_cuda => Ok(names),
                Some(name) if named_cuda => Err(Error::Usage(format!(
                    "--device {asked}: there is no {name} here; run 'seedbed doctor'"
                ))),
                Some(_) | None => Err(Error::Usage(format!(
                    "--device {asked}: write auto, cpu, cuda or cuda:0,1"
                ))),
            }
        }
    }
}
