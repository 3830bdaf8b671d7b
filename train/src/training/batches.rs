//! The training rows of every seed, and which of them each step of an epoch takes.

use tch::{Device, Kind, Tensor};

use seedbed::experiment::TrainingSpec;
use seedbed::random::{Numbers, Stream};

/// The training rows of every seed, resident on the device, one seed's after another's.
#[derive(Debug)]
pub struct TrainingRows {
    /// [rows of all seeds, features]
    pub(super) values: Tensor,
    /// Number of rows of each seed.
    pub(super) counts: Vec<usize>,
}

impl TrainingRows {
    /// Room for so many rows of each seed; `of_seed` is where they are to be written.
    pub fn empty(counts: Vec<usize>, features: usize, device: Device) -> Self {
        let shape = [counts.iter().sum::<usize>() as i64, features as i64];
        let values = Tensor::empty(shape, (Kind::Float, device));
        if device == Device::Cpu {
            ask_for_huge_pages(&values);
        }
        Self { values, counts }
    }

    fn start(&self, seed: usize) -> usize {
        self.counts[..seed].iter().sum()
    }

    /// One seed's rows, [rows, features], sharing storage.
    pub fn of_seed(&self, seed: usize) -> Tensor {
        self.values.narrow(0, self.start(seed) as i64, self.counts[seed] as i64)
    }

    /// Steps of an epoch: those of the seed with the most rows.
    pub fn steps(&self, spec: &TrainingSpec) -> usize {
        let steps = |&count: &usize| spec.rows_of_epoch(count).div_ceil(spec.batch_size);
        self.counts.iter().map(steps).max().unwrap_or(0)
    }
}

/// Asks the kernel for huge pages: batches take rows from anywhere in memory, and few pages' places are
/// known at a time.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(values: &Tensor) {
    const HUGE: usize = 1 << 21;
    let start = (values.data_ptr() as usize).next_multiple_of(HUGE);
    let end = values.data_ptr() as usize + values.numel() * size_of::<f32>();
    if start < end {
        // SAFETY: advice about memory that the tensor holds; the kernel may decline it
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

/// Leaves the pages to the operating system, which has no such advice to take.
#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: &Tensor) {}

/// Which rows the steps of an epoch take: numbers alone, for threads that draw ahead of the steps.
pub(super) struct Walk<'a> {
    pub(super) seeds: &'a [u64],
    /// Training rows of each seed.
    pub(super) counts: &'a [usize],
    /// How many of them an epoch takes.
    pub(super) taken: Vec<usize>,
    pub(super) batch_size: usize,
    /// Of an epoch.
    pub(super) steps: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rows: &'a TrainingRows, seeds: &'a [u64], spec: &TrainingSpec) -> Self {
        let taken = rows.counts.iter().map(|&count| spec.rows_of_epoch(count)).collect();
        let (batch_size, steps) = (spec.batch_size, rows.steps(spec));
        Self { seeds, counts: &rows.counts, taken, batch_size, steps }
    }

    /// Rows of a seed that a step (from 0) takes.
    pub(super) fn rows_of(&self, seed: usize, step: usize) -> usize {
        self.taken[seed].saturating_sub(step * self.batch_size).min(self.batch_size)
    }

    /// The most rows that a step takes of any seed.
    pub(super) fn width(&self, step: usize) -> usize {
        (0..self.counts.len()).map(|seed| self.rows_of(seed, step)).max().unwrap_or(0)
    }

    /// For each step in which seeds have different numbers of rows: 1 for a row, 0 for the padding
    /// after them, [seeds, width].
    pub(super) fn weights(&self, device: Device) -> Vec<Option<Tensor>> {
        let weight = |step: usize| {
            let width = self.width(step);
            let taken = (0..self.counts.len()).map(|seed| self.rows_of(seed, step));
            let ragged = taken.clone().any(|count| count < width);
            let values = || -> Vec<f32> {
                taken.flat_map(|count| (0..width).map(move |row| f32::from(row < count))).collect()
            };
            ragged.then(|| Tensor::from_slice(&values()).view([-1, width as i64]).to_device(device))
        };
        (0..self.steps).map(weight).collect()
    }

    /// The order in which an epoch visits the rows of every seed: row numbers into `TrainingRows`,
    /// padded with 0, [seeds, steps · batch size].
    pub(super) fn order(&self, epoch: u64) -> Tensor {
        let most = self.counts.iter().copied().max().unwrap_or(0);
        let length = most.div_ceil(self.batch_size) * self.batch_size;
        let mut order = vec![0i64; self.seeds.len() * length];
        let mut start = 0;
        for (number, (&seed, &count)) in self.seeds.iter().zip(self.counts).enumerate() {
            let permutation = Numbers::new(seed, Stream::Shuffle, epoch).permutation(count);
            let slots = &mut order[number * length..(number + 1) * length];
            for (slot, row) in slots.iter_mut().zip(permutation) {
                *slot = start + i64::from(row);
            }
            start += count as i64;
        }
        Tensor::from_slice(&order).view([self.seeds.len() as i64, length as i64])
    }
}
