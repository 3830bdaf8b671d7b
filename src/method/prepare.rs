//! What a job's runs have before anything is fitted: rows, splits, scaling and digests, seed by seed.

use std::collections::HashSet;

use crate::dataset::{self, Dataset, Scaling, Split};
use crate::error::Result;
use crate::experiment::{Cell, ProtocolSpec};
use crate::store::record::{Digests, Job};

/// A job's data, and its runs.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub job: &'a Job,
    pub dataset: Dataset,
    pub runs: Vec<Run>,
}

/// One seed of a job.
#[derive(Debug)]
pub struct Run {
    /// Place in the job, from 0.
    pub index: usize,
    pub seed: u64,
    /// What trains, and all that is scored.
    pub split: Split,
    /// Of each cell: the test rows that count for it.
    pub tested: Vec<Tested>,
    pub scaling: Scaling,
    pub digests: Digests,
}

/// The test rows that count for a cell.
#[derive(Debug)]
pub struct Tested {
    /// Their places among the rows that are scored, in order; none where all count.
    places: Option<Vec<usize>>,
    pub(super) split_digest: String,
}

impl Tested {
    fn new(split: &Split, scored: &Split) -> Self {
        let counted: HashSet<u32> = split.test.iter().copied().collect();
        let places = (split != scored).then(|| {
            let all = scored.test.iter().enumerate();
            all.filter(|(_, row)| counted.contains(row)).map(|(place, _)| place).collect()
        });
        Self { places, split_digest: split.sha256() }
    }

    /// Those of `values`, one a scored row, that count.
    pub fn of<T: Copy>(&self, values: &[T]) -> Vec<T> {
        match &self.places {
            Some(places) => places.iter().map(|&place| values[place]).collect(),
            None => values.to_vec(),
        }
    }
}

impl<'a> Prepared<'a> {
    /// Loads the job's data, and splits and scales them for each seed.
    ///
    /// # Errors
    /// Data missing or wrong, and a split that the data set cannot give.
    pub fn new(job: &'a Job) -> Result<Self> {
        let mut prepared = Self::without_runs(job)?;
        let runs = job.seeds.iter().enumerate().map(|(index, &seed)| prepared.run(index, seed));
        prepared.runs = runs.collect::<Result<_>>()?;
        Ok(prepared)
    }

    /// Loads the job's data alone, for who goes through many seeds one at a time.
    ///
    /// # Errors
    /// Data missing or wrong.
    pub fn without_runs(job: &'a Job) -> Result<Self> {
        let dataset = dataset::load(&job.cell().dataset, &job.data)?;
        Ok(Self { job, dataset, runs: Vec::new() })
    }

    /// Splits and scales the data for a seed.
    ///
    /// # Errors
    /// A split that the data set cannot give.
    pub fn run(&self, index: usize, seed: u64) -> Result<Run> {
        let Self { job, dataset, .. } = self;
        let ProtocolSpec { split, contamination, .. } = &job.cell().protocol;
        let split = dataset::split(dataset, &split.before_batches(), *contamination, seed)?;
        let of_cell = |cell: &Cell| {
            let own = dataset::split(dataset, &cell.protocol.split, *contamination, seed)?;
            Ok(Tested::new(&own, &split))
        };
        let tested = job.cells.iter().map(of_cell).collect::<Result<_>>()?;
        let scaling = dataset.fit(&split.train);
        let digests = Digests { data: dataset.sha256().to_owned(), ..Digests::default() };
        Ok(Run { index, seed, split, tested, scaling, digests })
    }

    /// Whether each of a run's test rows is an anomaly.
    pub fn labels(&self, run: &Run) -> Vec<bool> {
        run.split.test.iter().map(|&row| self.dataset.labels()[row as usize]).collect()
    }
}
