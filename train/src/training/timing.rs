//! Steps timed alone, for estimates of how long a run takes and for benchmarks.

use std::thread;
use std::time::Instant;

use tch::Device;

use super::Training;
use super::batches::Walk;
use super::draws::Draws;
use super::stepper::Stepper;
use crate::device;
use crate::nn::Parameters;

/// Steps that a device is given before they are timed together: one by one it would stand still
/// between them.
const TIMED_TOGETHER: usize = 20;

/// How many steps are timed.
#[derive(Debug, Clone, Copy)]
pub struct Timed {
    /// Untimed steps before them.
    pub warm_up: usize,
    pub steps: usize,
}

/// Returns the seconds of each step (on a device of groups of them, each step's share), all seeds
/// together; `first` is told when the first step of all is done.
pub fn time_steps(
    Training { detector, rows, seeds, spec }: Training,
    parameters: &mut Parameters,
    Timed { warm_up, steps }: Timed,
    first: &mut dyn FnMut(),
) -> Vec<f64> {
    let mut walk = Walk::new(rows, seeds, spec);
    // the last step of an epoch is smaller and would flatter the figure
    walk.steps = (walk.steps - 1).max(1);
    let epochs = (warm_up + steps).div_ceil(walk.steps) as u64;
    let device = rows.values.device();
    let together = if device == Device::Cpu { 1 } else { TIMED_TOGETHER.min(steps.max(1)) };
    let active = vec![true; seeds.len()];
    let mut stepper = Stepper::new(detector, parameters, rows, &walk, spec);
    thread::scope(|scope| {
        let mut draws = Draws::new(scope, &walk, detector.network.noise(), epochs, device);
        let mut order = None;
        let mut started = Instant::now();
        let mut seconds = Vec::new();
        for number in 0..warm_up + steps {
            if number % walk.steps == 0 {
                order = Some(draws.next_order());
            }
            let order = order.as_ref().expect("the first step begins an epoch");
            let noise = draws.next_noise();
            let _ = stepper.step(order, number % walk.steps, noise.as_ref(), &active);
            if number == 0 {
                device::wait_for(device);
                first();
            }
            let timed = (number + 1).saturating_sub(warm_up);
            if number + 1 == warm_up || (timed > 0 && timed % together == 0) {
                device::wait_for(device);
                if timed > 0 {
                    seconds.push(started.elapsed().as_secs_f64() / together as f64);
                }
                started = Instant::now();
            }
        }
        seconds
    })
}
