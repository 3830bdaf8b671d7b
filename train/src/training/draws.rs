//! What steps take from the seeds' streams of random numbers: orders of rows and noise. It is drawn by the
//! processor, and for a device by threads, ahead of the steps.

use std::ops::Range;
use std::sync::mpsc;
use std::thread::Scope;

use rayon::prelude::*;
use tch::{Device, Tensor};

use super::batches::Walk;
use crate::nn::Noise;

/// Tensors in the order in which they are needed.
pub(super) type Drawn<'a> = Box<dyn Iterator<Item = Tensor> + Send + 'a>;

/// What the steps take that comes from the seeds' streams. On the CPU it is drawn when a step asks
/// for it. For a device threads draw ahead of the steps, many at once, and it is sent without waiting.
pub(super) struct Draws<'a> {
    /// Of each epoch, as `Walk::order` says.
    orders: Drawn<'a>,
    /// Of each step, for a model that draws any.
    noise: Option<Drawn<'a>>,
}

/// Values of noise that are drawn and sent at once: 64 MiB.
const AT_ONCE: usize = 16 << 20;

impl<'a> Draws<'a> {
    pub(super) fn new(
        scope: &'a Scope<'a, '_>,
        walk: &'a Walk,
        noise: Option<Noise>,
        epochs: u64,
        device: Device,
    ) -> Self {
        let on_cpu = device == Device::Cpu;
        let brought = |drawn: Drawn<'a>| if on_cpu { drawn } else { sent(scope, drawn, device) };
        let at_once = |noise: Noise| {
            let step = walk.seeds.len() * walk.batch_size * noise.per_row();
            if on_cpu { 1 } else { (AT_ONCE / step.max(1)).clamp(1, walk.steps.max(1)) }
        };
        Self {
            orders: brought(Box::new((1..=epochs).map(|epoch| walk.order(epoch)))),
            noise: noise.map(|noise| walk.noise_by_step(noise, epochs, at_once(noise), brought)),
        }
    }

    pub(super) fn next_order(&mut self) -> Tensor {
        self.orders.next().expect("there is an order for each epoch")
    }

    pub(super) fn next_noise(&mut self) -> Option<Tensor> {
        self.noise.as_mut().map(|noise| noise.next().expect("there is noise for each step"))
    }
}

/// The same tensors on a device: drawn ahead, into memory from which the device takes them while it
/// and this thread go on.
fn sent<'a>(scope: &'a Scope<'a, '_>, drawn: Drawn<'a>, device: Device) -> Drawn<'a> {
    let pinned = drawn.map(move |tensor| tensor.f_pin_memory(device));
    Box::new(ahead(scope, pinned).map(move |tensor| {
        let tensor = tensor.expect("memory for what is sent to a device");
        tensor.to_device_(device, tensor.kind(), true, false)
    }))
}

/// The same items, of which a thread makes the next while one is in use.
pub(super) fn ahead<'a, T: Send + 'a>(
    scope: &'a Scope<'a, '_>,
    items: impl Iterator<Item = T> + Send + 'a,
) -> impl Iterator<Item = T> + Send + 'a {
    let (sender, receiver) = mpsc::sync_channel(0);
    scope.spawn(move || {
        for item in items {
            // nobody takes any more
            if sender.send(item).is_err() {
                break;
            }
        }
    });
    receiver.into_iter()
}

impl Walk<'_> {
    /// What some steps of an epoch draw, one step's [seeds, width, values a row] after another's; on
    /// all cores where `parallel`.
    fn noise(&self, noise: Noise, epoch: u64, steps: Range<usize>, parallel: bool) -> Tensor {
        let counts = |step| self.width(step) * noise.per_row();
        let total: usize = steps.clone().map(|step| counts(step) * self.seeds.len()).sum();
        let mut values = vec![0.0; total];
        let mut rest = values.as_mut_slice();
        let mut places = Vec::new();
        for step in steps {
            for &seed in self.seeds {
                let (place, more) = rest.split_at_mut(counts(step));
                places.push((seed, (epoch << 32) | step as u64, place));
                rest = more;
            }
        }
        let draw =
            |(seed, counter, place): (u64, u64, &mut [f32])| noise.draw(seed, counter, place);
        if parallel {
            places.into_par_iter().for_each(draw);
        } else {
            places.into_iter().for_each(draw);
        }
        Tensor::from_slice(&values)
    }

    /// The noise of each step of each epoch, [seeds, width, values a row], drawn for so many steps at
    /// once and `brought` where it is needed.
    pub(super) fn noise_by_step<'s>(
        &'s self,
        noise: Noise,
        epochs: u64,
        at_once: usize,
        brought: impl FnOnce(Drawn<'s>) -> Drawn<'s>,
    ) -> Drawn<'s> {
        let starts = move || {
            let starts = move |epoch| (0..self.steps).step_by(at_once).map(move |s| (epoch, s));
            (1..=epochs).flat_map(starts)
        };
        let steps = move |start: usize| start..(start + at_once).min(self.steps);
        let drawn =
            starts().map(move |(epoch, start)| self.noise(noise, epoch, steps(start), at_once > 1));
        let views = move |(values, (_, start)): (Tensor, (u64, usize))| {
            let mut taken = 0;
            steps(start).map(move |step| {
                let shape = [self.seeds.len(), self.width(step), noise.per_row()].map(|n| n as i64);
                let count = shape.iter().product();
                taken += count;
                values.narrow(0, taken - count, count).view(shape)
            })
        };
        Box::new(brought(Box::new(drawn)).zip(starts()).flat_map(views))
    }
}
