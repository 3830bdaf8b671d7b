//! `seedbed fit`: what a worker runs for a method that needs no trainer. Speaks the trainer's protocol
//! (docs/trainer.md); `schedule::worker` starts it.

use seedbed::error::Result;
use seedbed::method;
use seedbed::schedule::answer::{begin, say};

use crate::args::FitCommand;

/// Fits and scores the job on stdin, or times that.
pub fn fit(command: &FitCommand) -> Result<u8> {
    let job = begin()?;
    match command {
        FitCommand::Run => method::execute(&job, &mut |message| say(&message))?,
        FitCommand::Time { .. } => {
            let calibration = method::calibrate(&job, &mut || say(&"the first run is done"))?;
            say(&calibration);
        }
    }
    Ok(0)
}
