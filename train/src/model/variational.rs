//! What variational autoencoders share: the decoder's likelihoods, the latent Gaussian, the objective
//! (Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014), and the scores. Networks are in
//! `vae` and `conv_vae`. Shapes: S seeds, B rows, F features, L latent variables; heads are [S, B, 2L],
//! first the means and then the log-variances of q(z|x).

use rayon::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

use super::{Average, Batch, Evaluated, Reduction, Score, Scores, Scoring, ToScore};
use crate::nn::activation::tanh;
use seedbed::random::{Numbers, Stream};

/// p(x|z) given the decoder's outputs, [S, B, F] or, where it learns variances, [S, B, 2F]: first
/// the means and then the log-variances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Likelihood {
    /// Normal features with learnt log-variances, between bounds where there are some.
    Gaussian { bounds: Option<[f64; 2]> },
    /// Normal features with one standard deviation.
    FixedGaussian { sigma: f64 },
    /// Features in [0, 1]; the outputs are logits.
    Bernoulli,
    /// The same from probabilities: 0 · log 0 is NaN, and values outside [0, 1] have no bound below.
    BernoulliProbabilities,
    /// √(2πσ²)·(x−μ)²/(2σ²) a feature in place of −log p: no likelihood, since it falls to 0 as σ
    /// grows. A row's training term is its Euclidean norm over the features, its score the sum.
    Blog { bounds: Option<[f64; 2]> },
}

impl Likelihood {
    /// Decoder outputs a feature.
    pub fn outputs(&self) -> i64 {
        match self {
            Self::Gaussian { .. } | Self::Blog { .. } => 2,
            Self::FixedGaussian { .. } | Self::Bernoulli | Self::BernoulliProbabilities => 1,
        }
    }

    /// Whether values outside [0, 1] are to be refused. What `BernoulliProbabilities` makes of them is
    /// what it is there to show.
    pub fn needs_unit_interval(&self) -> bool {
        match self {
            Self::Bernoulli => true,
            Self::Gaussian { .. }
            | Self::FixedGaussian { .. }
            | Self::BernoulliProbabilities
            | Self::Blog { .. } => false,
        }
    }

    /// x̂, the mean of p(x|z), [S, B, F].
    pub fn mean(&self, output: &Tensor) -> Tensor {
        match self {
            Self::Gaussian { .. } | Self::Blog { .. } => halves(output).0,
            Self::FixedGaussian { .. } => output.shallow_clone(),
            Self::Bernoulli | Self::BernoulliProbabilities => output.sigmoid(),
        }
    }

    /// −log p(x|z) of every row, [S, B]; the blog's sum over the features in its place.
    pub fn negative_log(&self, output: &Tensor, x: &Tensor) -> Tensor {
        match self {
            Self::Gaussian { bounds } => gaussian(output, x, *bounds),
            Self::FixedGaussian { sigma } => fixed_gaussian(output, x, *sigma),
            Self::Bernoulli => bernoulli(output, x),
            Self::BernoulliProbabilities => bernoulli_of_probabilities(output, x),
            Self::Blog { bounds } => sum(&blog(output, x, *bounds)),
        }
    }

    /// What the loss has for every row, [S, B].
    fn training_term(&self, output: &Tensor, x: &Tensor) -> Tensor {
        match self {
            Self::Gaussian { .. }
            | Self::FixedGaussian { .. }
            | Self::Bernoulli
            | Self::BernoulliProbabilities => self.negative_log(output, x),
            Self::Blog { bounds } => euclidean_norm(&blog(output, x, *bounds)),
        }
    }
}

/// Over the features or latent variables, the last axis.
fn sum(values: &Tensor) -> Tensor {
    values.sum_dim_intlist(-1, false, None)
}

/// Means and log-variances, the two halves of the last axis.
pub(crate) fn halves(output: &Tensor) -> (Tensor, Tensor) {
    let half = output.size()[2] / 2;
    (output.narrow(2, 0, half), output.narrow(2, half, half))
}

/// The decoder's log-variances. Bounded ones are mid + half · tanh((raw − mid) / half): as the
/// network gives them near the middle, never outside the bounds, with a gradient everywhere.
fn log_variance(raw: &Tensor, bounds: Option<[f64; 2]>) -> Tensor {
    let Some([low, high]) = bounds else { return raw.shallow_clone() };
    let (mid, half) = ((low + high) / 2.0, (high - low) / 2.0);
    tanh((raw - mid) / half) * half + mid
}

/// log 2π
pub(crate) const LOG_TAU: f64 = 1.837_877_066_409_345_3;

/// ½ Σ (log 2π + log σ² + (x−μ)²/σ²).
fn gaussian(output: &Tensor, x: &Tensor, bounds: Option<[f64; 2]>) -> Tensor {
    let (mean, raw) = halves(output);
    let log_variance = log_variance(&raw, bounds);
    let difference = mean - x;
    let square = &difference * (-&log_variance).exp_() * difference;
    (sum(&(square + log_variance)) + LOG_TAU * x.size()[2] as f64) * 0.5
}

fn fixed_gaussian(output: &Tensor, x: &Tensor, sigma: f64) -> Tensor {
    let difference = output - x;
    let constant = x.size()[2] as f64 * (LOG_TAU + 2.0 * sigma.ln());
    (sum(&(&difference * &difference)) * (1.0 / (sigma * sigma)) + constant) * 0.5
}

/// Σ log(1 + e^l) − l·x of logits l: finite for every logit.
fn bernoulli(logits: &Tensor, x: &Tensor) -> Tensor {
    // libtorch's softplus is linear from 20 on, which is exact in f32 only; `maximum` halves its gradient
    // at 0, where a clamp's would be 0 or 1
    let softplus = logits.maximum(&logits.zeros_like()) + (-logits.abs()).exp().log1p();
    sum(&(softplus - logits * x))
}

/// −Σ x log p + (1−x) log(1−p) of p = σ(l), with nothing that keeps a logarithm finite: in f32, p is 1
/// from logits of about 16.6 on, and x = 1 then gives 0 · log 0. The gradient goes through p and breaks
/// down with it.
fn bernoulli_of_probabilities(logits: &Tensor, x: &Tensor) -> Tensor {
    let p = logits.sigmoid();
    let (rest_p, rest_x): (Tensor, Tensor) = (1.0 - &p, 1.0 - x);
    -sum(&(x * p.log() + rest_x * rest_p.log()))
}

/// The blog's value of every feature, √(2π)/2 · (x−μ)²/σ.
fn blog(output: &Tensor, x: &Tensor, bounds: Option<[f64; 2]>) -> Tensor {
    let (mean, raw) = halves(output);
    let difference = mean - x;
    let ratio = &difference * (log_variance(&raw, bounds) * -0.5).exp();
    ratio * difference * (std::f64::consts::TAU.sqrt() / 2.0)
}

/// The Euclidean norm over the last axis; its gradient at 0 is 0.
fn euclidean_norm(values: &Tensor) -> Tensor {
    let square = sum(&(values * values));
    let positive = square.greater(0.0);
    let root = square.where_self(&positive, &square.ones_like()).sqrt();
    root * positive.to_kind(values.kind())
}

/// q(z|x) = N(μ, σ²) of a batch and one draw of it, z = μ + σ ε.
#[derive(Debug)]
pub struct Latent {
    pub(crate) mean: Tensor,
    pub(crate) log_variance: Tensor,
    /// σ ε
    pub(crate) spread: Tensor,
    /// [S, B, L]
    pub z: Tensor,
}

impl Latent {
    /// From the encoder's heads, [S, B, 2L], and standard normal ε, [S, B, L].
    pub fn draw(heads: &Tensor, noise: &Tensor) -> Self {
        let (mean, log_variance) = halves(heads);
        let spread = (&log_variance * 0.5).exp_() * noise;
        let z = &mean + &spread;
        Self { mean, log_variance, spread, z }
    }

    /// KL(q(z|x) ‖ N(0, I)) of every row, [S, B] (Kingma and Welling, appendix B).
    pub fn divergence(&self) -> Tensor {
        divergence(&self.mean, &self.log_variance)
    }
}

fn divergence(mean: &Tensor, log_variance: &Tensor) -> Tensor {
    sum(&(mean.square() + log_variance.exp() - log_variance - 1.0)) * 0.5
}

/// Names of the columns of a loss curve.
pub const TERMS: [&str; 3] = ["loss", "reconstruction", "divergence"];

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// −log p(x|z) + β KL, mean or sum over the rows of a batch.
    Elbo { likelihood: Likelihood, beta: f64, reduction: Reduction },
    /// A public notebook's: squared error, mean over all features of the batch, + β times the KL,
    /// summed over its rows. The divergence outweighs the error by rows times features.
    Notebook { beta: f64 },
}

impl Objective {
    /// Of a batch whose rows `latent` were decoded to `output`.
    pub fn evaluate(&self, batch: &Batch, latent: &Latent, output: &Tensor) -> Evaluated {
        let errors = match *self {
            Self::Elbo { likelihood, .. } => likelihood.training_term(output, &batch.x),
            Self::Notebook { .. } => sum(&(output - &batch.x).square()),
        };
        self.total(errors, latent, &self.row_weights(batch))
    }

    /// From each row's error, [S, B], and what error and divergence count for.
    pub(crate) fn total(
        &self,
        errors: Tensor,
        latent: &Latent,
        weights: &[Tensor; 2],
    ) -> Evaluated {
        let total = |rows: Tensor, weight: &Tensor| {
            (rows.to_kind(Kind::Double) * weight).sum_dim_intlist(1, false, None)
        };
        let reconstruction = total(errors, &weights[0]);
        let divergence = total(latent.divergence(), &weights[1]);
        Evaluated {
            total: &reconstruction + &divergence * self.beta(),
            failed: reconstruction.zeros_like(),
            terms: vec![reconstruction, divergence],
        }
    }

    /// The weight of the divergence.
    pub(crate) fn beta(&self) -> f64 {
        match self {
            Self::Elbo { beta, .. } | Self::Notebook { beta } => *beta,
        }
    }

    /// What each row's error and divergence count for, before β: [S, B] or [S, 1] each, f64.
    pub(crate) fn row_weights(&self, batch: &Batch) -> [Tensor; 2] {
        let both = |weight: Tensor| [weight.shallow_clone(), weight];
        match self {
            Self::Elbo { reduction: Reduction::Mean, .. } => both(batch.shares()),
            Self::Elbo { reduction: Reduction::Sum, .. } => both(batch.ones()),
            Self::Notebook { .. } => [batch.shares() / batch.x.size()[2] as f64, batch.ones()],
        }
    }
}

/// Encoder and decoder of one seed, as scoring uses them.
pub struct Scorer<'a> {
    /// [1, rows, F] → heads, [1, rows, 2L]
    pub encode: &'a dyn Fn(&Tensor) -> Tensor,
    /// [1, rows, L] → outputs
    pub decode: &'a dyn Fn(&Tensor) -> Tensor,
    pub likelihood: Likelihood,
}

/// Rows that scoring passes through the network at a time; bounds its memory. Even, so that normal
/// numbers, which come in pairs, do not depend on it.
const CHUNK: i64 = 2048;

impl Scorer<'_> {
    /// Scores of one seed's rows, one way after another. All ways of scoring see the same draws, and
    /// a row's draws depend on its place among the rows, not on how many draws are taken: no score
    /// depends on those beside it.
    pub fn scores(&self, rows: ToScore, scorings: &[Scoring]) -> Vec<Scores> {
        no_grad(|| {
            let tests = self.score(rows.test, scorings, rows.seed, 0);
            let of_train: Vec<Scoring> =
                scorings.iter().filter(|scoring| scoring.train).copied().collect();
            let mut trains = self.score(rows.train, &of_train, rows.seed, 1).into_iter();
            let of = |(scoring, test): (&Scoring, Tallied)| Scores {
                train: scoring.train.then(|| trains.next().map(|train| train.score)).flatten(),
                test: test.score,
                test_error: test.error,
                broken: None,
            };
            scorings.iter().zip(tests).map(of).collect()
        })
    }

    /// [rows, F] in each way; `population` keeps the noise of training and of test rows apart.
    fn score(
        &self,
        rows: &Tensor,
        scorings: &[Scoring],
        seed: u64,
        population: u64,
    ) -> Vec<Tallied> {
        if scorings.is_empty() {
            return Vec::new();
        }
        let draws = scorings.iter().map(|scoring| scoring.samples).max().unwrap_or(0);
        let step = |draw| (population << 32) | u64::from(draw);
        let mut numbers: Vec<Numbers> =
            (0..draws).map(|draw| Numbers::new(seed, Stream::ScoringNoise, step(draw))).collect();
        let mut chunks: Vec<Vec<Tallied>> = scorings.iter().map(|_| Vec::new()).collect();
        for chunk in rows.split(CHUNK, 0) {
            let x = chunk.unsqueeze(0);
            let tallied = self.draw(&x, &(self.encode)(&x), &mut numbers, scorings);
            chunks.iter_mut().zip(tallied).for_each(|(chunks, tallied)| chunks.push(tallied));
        }
        let join = |parts: &[Tallied], part: fn(&Tallied) -> &Tensor| {
            Tensor::cat(&parts.iter().map(part).collect::<Vec<_>>(), 0)
        };
        let whole = |parts: Vec<Tallied>| Tallied {
            score: join(&parts, |tallied| &tallied.score),
            error: join(&parts, |tallied| &tallied.error),
        };
        chunks.into_iter().map(whole).collect()
    }

    /// One chunk, x [1, n, F].
    fn draw(
        &self,
        x: &Tensor,
        heads: &Tensor,
        numbers: &mut [Numbers],
        scorings: &[Scoring],
    ) -> Vec<Tallied> {
        let (mean, log_variance) = halves(heads);
        let deviation = (&log_variance * 0.5).exp_();
        let mut tallies: Vec<Tally> = scorings.iter().map(|&scoring| Tally::new(scoring)).collect();
        let at_mean = tallies.iter().any(|tally| tally.scoring.samples == 0);
        let needs_likelihood = tallies.iter().any(Tally::needs_likelihood);
        let mut visit = |z: &Tensor, draw: Option<u32>| {
            let output = (self.decode)(z);
            let row = |values: Tensor| values.squeeze_dim(0).to_kind(Kind::Double);
            let difference = self.likelihood.mean(&output) - x;
            let error = row((&difference * &difference).sum_dim_intlist(-1, false, None));
            let negative_log =
                needs_likelihood.then(|| row(self.likelihood.negative_log(&output, x)));
            for tally in tallies.iter_mut().filter(|tally| tally.wants(draw)) {
                tally.add(&error, negative_log.as_ref());
            }
        };
        if at_mean {
            visit(&mean, None);
        }
        let size = mean.size();
        for (draw, drawn) in normals(numbers, mean.numel(), x.device()).enumerate() {
            let noise = Tensor::from_slice(&drawn)
                .view([1, size[1], size[2]])
                .to_device(x.device())
                .to_kind(x.kind());
            visit(&(&mean + &deviation * noise), Some(draw as u32));
        }
        let divergence = divergence(&mean, &log_variance).squeeze_dim(0).to_kind(Kind::Double);
        let features = x.size()[2] as f64;
        tallies.into_iter().map(|tally| tally.ended(&divergence, features)).collect()
    }
}

/// The next `count` normal numbers of each draw. Beside a device, which waits for them, all cores draw.
fn normals(
    numbers: &mut [Numbers],
    count: usize,
    device: Device,
) -> Box<dyn Iterator<Item = Vec<f32>> + '_> {
    let draw = move |numbers: &mut Numbers| numbers.normals(count);
    match device {
        Device::Cpu => Box::new(numbers.iter_mut().map(draw)),
        Device::Cuda(_) | Device::Mps | Device::Vulkan => {
            Box::new(numbers.par_iter_mut().map(draw).collect::<Vec<_>>().into_iter())
        }
    }
}

/// Rows scored in one way, `[n]` each.
struct Tallied {
    score: Tensor,
    /// Mean over the draws of ‖x−x̂‖².
    error: Tensor,
}

/// One way of scoring, gathered draw by draw.
struct Tally {
    scoring: Scoring,
    /// Sum over the draws of what is averaged, `[n]`; for [`Average::Likelihood`] log Σ p.
    sum: Option<Tensor>,
    /// Sum over the draws of ‖x−x̂‖², `[n]`.
    error: Option<Tensor>,
}

impl Tally {
    fn new(scoring: Scoring) -> Self {
        Self { scoring, sum: None, error: None }
    }

    fn needs_likelihood(&self) -> bool {
        match self.scoring.score {
            Score::ReconstructionError => false,
            Score::ReconstructionProbability | Score::NegativeElbo => true,
        }
    }

    /// Whether a draw (`None`: the mean of q) is one of this score's.
    fn wants(&self, draw: Option<u32>) -> bool {
        match draw {
            None => self.scoring.samples == 0,
            Some(draw) => draw < self.scoring.samples,
        }
    }

    /// Adds one draw: ‖x−x̂‖² and −log p(x|z), `[n]` each.
    fn add(&mut self, error: &Tensor, negative_log: Option<&Tensor>) {
        let plus = |sum: Option<Tensor>, value: &Tensor| match sum {
            None => value.shallow_clone(),
            Some(sum) => sum + value,
        };
        self.error = Some(plus(self.error.take(), error));
        let Some(value) = negative_log.filter(|_| self.needs_likelihood()) else { return };
        self.sum = Some(match self.sum.take() {
            None if self.averages_likelihood() => -value,
            Some(sum) if self.averages_likelihood() => sum.logaddexp(&-value),
            sum => plus(sum, value),
        });
    }

    fn averages_likelihood(&self) -> bool {
        let probability = self.scoring.score == Score::ReconstructionProbability;
        probability && self.scoring.average == Average::Likelihood
    }

    /// Higher is more anomalous.
    fn ended(self, divergence: &Tensor, features: f64) -> Tallied {
        let draws = f64::from(self.scoring.samples.max(1));
        let averages_likelihood = self.averages_likelihood();
        let error = self.error.expect("every score has a draw");
        let sum = || self.sum.expect("every score but the error gathers a likelihood");
        let score = match self.scoring.score {
            Score::ReconstructionProbability if averages_likelihood => draws.ln() - sum(),
            Score::ReconstructionProbability => sum() / draws,
            Score::NegativeElbo => sum() / draws + divergence,
            Score::ReconstructionError => &error / (draws * features),
        };
        Tallied { score, error: error / draws }
    }
}
