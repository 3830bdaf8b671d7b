//! What variational autoencoders share: the decoder's likelihoods, the latent Gaussian, the
//! objective (Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014) with its gradient,
//! and the scores. Networks are in `vae` and `conv_vae`. Shapes: S seeds, B rows, F features,
//! L latent variables; heads are [S, B, 2L], first the means and then the log-variances of q(z|x).

use rayon::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

use super::{Average, Batch, Reduction, Score, Scores, Scoring, ToScore};
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

/// Of every row, [S, B]: what the loss has for it and, if asked for, its gradient by the decoder's
/// outputs.
struct Terms {
    value: Tensor,
    by_output: Option<Tensor>,
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
            Self::Gaussian { bounds } => gaussian(output, x, *bounds, None).value,
            Self::FixedGaussian { sigma } => fixed_gaussian(output, x, *sigma, None).value,
            Self::Bernoulli => bernoulli(output, x, None).value,
            Self::BernoulliProbabilities => bernoulli_of_probabilities(output, x, None).value,
            Self::Blog { bounds } => {
                Pseudo::of(output, x, *bounds).feature.sum_dim_intlist(-1, false, None)
            }
        }
    }

    /// The training term of every row and its gradient by the outputs, the latter times each row's
    /// `weight`, [S, B] or [S, 1].
    fn terms(&self, output: &Tensor, x: &Tensor, weight: &Tensor) -> Terms {
        let weight = weight.to_kind(x.kind()).unsqueeze(-1);
        match self {
            Self::Gaussian { bounds } => gaussian(output, x, *bounds, Some(&weight)),
            Self::FixedGaussian { sigma } => fixed_gaussian(output, x, *sigma, Some(&weight)),
            Self::Bernoulli => bernoulli(output, x, Some(&weight)),
            Self::BernoulliProbabilities => bernoulli_of_probabilities(output, x, Some(&weight)),
            Self::Blog { bounds } => Pseudo::of(output, x, *bounds).norm(&weight),
        }
    }
}

fn halves(output: &Tensor) -> (Tensor, Tensor) {
    let half = output.size()[2] / 2;
    (output.narrow(2, 0, half), output.narrow(2, half, half))
}

/// The decoder's log-variances. Bounded ones are mid + half · tanh((raw − mid) / half): as the
/// network gives them near the middle, never outside the bounds, with a gradient everywhere.
struct LogVariance {
    value: Tensor,
    /// By the raw value; absent where that is 1.
    slope: Option<Tensor>,
}

impl LogVariance {
    fn of(raw: &Tensor, bounds: Option<[f64; 2]>) -> Self {
        let Some([low, high]) = bounds else {
            return Self { value: raw.shallow_clone(), slope: None };
        };
        let (mid, half) = ((low + high) / 2.0, (high - low) / 2.0);
        let bent = crate::nn::layers::tanh((raw - mid) / half);
        Self { value: &bent * half + mid, slope: Some(1.0 - bent.square()) }
    }

    fn by_raw(&self, by_value: Tensor) -> Tensor {
        match &self.slope {
            Some(slope) => by_value * slope,
            None => by_value,
        }
    }
}

const LOG_TAU: f64 = 1.837_877_066_409_345_3;

/// ½ Σ (log 2π + log σ² + (x−μ)²/σ²).
fn gaussian(
    output: &Tensor,
    x: &Tensor,
    bounds: Option<[f64; 2]>,
    weight: Option<&Tensor>,
) -> Terms {
    let (mean, raw) = halves(output);
    let log_variance = LogVariance::of(&raw, bounds);
    let difference = mean - x;
    let by_mean = &difference * (-&log_variance.value).exp_();
    let square = &by_mean * difference;
    let sum = (&square + &log_variance.value).sum_dim_intlist(-1, false, None);
    let value = (sum + LOG_TAU * x.size()[2] as f64) * 0.5;
    let by_output = weight.map(|weight| {
        let by_log_variance = log_variance.by_raw((1.0 - square) * (weight * 0.5));
        Tensor::cat(&[by_mean * weight, by_log_variance], 2)
    });
    Terms { value, by_output }
}

fn fixed_gaussian(output: &Tensor, x: &Tensor, sigma: f64, weight: Option<&Tensor>) -> Terms {
    let difference = output - x;
    let precision = 1.0 / (sigma * sigma);
    let constant = x.size()[2] as f64 * (LOG_TAU + 2.0 * sigma.ln());
    let square = (&difference * &difference).sum_dim_intlist(-1, false, None);
    let value = (square * precision + constant) * 0.5;
    Terms { value, by_output: weight.map(|weight| difference * (weight * precision)) }
}

/// Σ log(1 + e^l) − l·x of logits l: finite for every logit.
fn bernoulli(logits: &Tensor, x: &Tensor, weight: Option<&Tensor>) -> Terms {
    // softplus is linear from 20 on in libtorch, which is exact there in f32 only
    let softplus = logits.clamp_min(0.0) + (-logits.abs()).exp_().log1p_();
    let value = (softplus - logits * x).sum_dim_intlist(-1, false, None);
    Terms { value, by_output: weight.map(|weight| (logits.sigmoid() - x) * weight) }
}

/// −Σ x log p + (1−x) log(1−p) of p = σ(l), with nothing that keeps a logarithm finite: in f32, p is 1
/// from logits of about 16.6 on, and x = 1 then gives 0 · log 0. The gradient goes through p, so that
/// it breaks down where an automatic one does.
fn bernoulli_of_probabilities(logits: &Tensor, x: &Tensor, weight: Option<&Tensor>) -> Terms {
    let p = logits.sigmoid();
    let (rest_p, rest_x): (Tensor, Tensor) = (1.0 - &p, 1.0 - x);
    let value = -(x * p.log() + &rest_x * rest_p.log()).sum_dim_intlist(-1, false, None);
    let by_output = weight.map(|weight| {
        let by_p = (&rest_x / &rest_p - x / &p) * weight;
        Tensor::sigmoid_backward(&by_p, &p)
    });
    Terms { value, by_output }
}

/// The blog's value of every feature, √(2π)/2 · (x−μ)²/σ, and what its gradient needs.
struct Pseudo {
    feature: Tensor,
    /// (μ−x)/σ
    ratio: Tensor,
    log_variance: LogVariance,
}

impl Pseudo {
    fn of(output: &Tensor, x: &Tensor, bounds: Option<[f64; 2]>) -> Self {
        let (mean, raw) = halves(output);
        let log_variance = LogVariance::of(&raw, bounds);
        let difference = mean - x;
        let ratio = &difference * (&log_variance.value * -0.5).exp_();
        let feature = &ratio * difference * (std::f64::consts::TAU.sqrt() / 2.0);
        Self { feature, ratio, log_variance }
    }

    /// The Euclidean norm over the features; its gradient at 0 is 0.
    fn norm(self, weight: &Tensor) -> Terms {
        let square = (&self.feature * &self.feature).sum_dim_intlist(-1, true, None);
        let norm = square.sqrt();
        let safe = norm.where_self(&square.greater(0.0), &norm.ones_like());
        let by_feature = &self.feature * (weight / safe);
        let by_mean = &by_feature * self.ratio * std::f64::consts::TAU.sqrt();
        let by_log_variance = self.log_variance.by_raw(by_feature * self.feature * -0.5);
        let by_output = Some(Tensor::cat(&[by_mean, by_log_variance], 2));
        Terms { value: norm.squeeze_dim(-1), by_output }
    }
}

/// q(z|x) = N(μ, σ²) of a batch and one draw of it, z = μ + σ ε.
#[derive(Debug)]
pub struct Latent {
    mean: Tensor,
    log_variance: Tensor,
    /// σ ε
    spread: Tensor,
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

    /// The gradient by the heads, from that by z and what each row's divergence counts for,
    /// [S, B] or [S, 1].
    pub fn by_heads(&self, by_z: &Tensor, weight: &Tensor) -> Tensor {
        let weight = weight.to_kind(by_z.kind()).unsqueeze(-1);
        let by_mean = by_z + &self.mean * &weight;
        let by_divergence = (self.log_variance.exp() - 1.0) * weight;
        let by_log_variance = (by_z * &self.spread + by_divergence) * 0.5;
        Tensor::cat(&[by_mean, by_log_variance], 2)
    }
}

fn divergence(mean: &Tensor, log_variance: &Tensor) -> Tensor {
    (mean.square() + log_variance.exp() - log_variance - 1.0).sum_dim_intlist(-1, false, None) * 0.5
}

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// −log p(x|z) + β KL, mean or sum over the rows of a batch.
    Elbo { likelihood: Likelihood, beta: f64, reduction: Reduction },
    /// A public notebook's: squared error, mean over all features of the batch, + β times the KL,
    /// summed over its rows. The divergence outweighs the error by rows times features.
    Notebook { beta: f64 },
}

/// An objective's value and gradients for one batch.
pub struct Evaluated {
    /// `[S]`, f64.
    pub total: Tensor,
    /// Reconstruction and divergence, before β, `[S]` each, f64.
    pub terms: Vec<Tensor>,
    /// Of `total`, [S, B, outputs].
    pub by_output: Tensor,
    /// What each row's divergence counts for in `total`, [S, B] or [S, 1]; f64.
    pub divergence_weight: Tensor,
}

impl Objective {
    /// Of a batch whose rows `latent` were decoded to `output`.
    pub fn evaluate(&self, batch: &Batch, latent: &Latent, output: &Tensor) -> Evaluated {
        let x = &batch.x;
        let (terms, row_weight, divergence_row_weight, beta) = match *self {
            Self::Elbo { likelihood, beta, reduction } => {
                let weight = match reduction {
                    Reduction::Mean => batch.shares(),
                    Reduction::Sum => batch.ones(),
                };
                (likelihood.terms(output, x, &weight), weight.shallow_clone(), weight, beta)
            }
            Self::Notebook { beta } => {
                let weight = batch.shares() / x.size()[2] as f64;
                (squared_error(output, x, &weight), weight, batch.ones(), beta)
            }
        };
        let sum = |rows: &Tensor, weight: &Tensor| {
            (rows.to_kind(Kind::Double) * weight).sum_dim_intlist(1, false, None)
        };
        let reconstruction = sum(&terms.value, &row_weight);
        let divergence = sum(&latent.divergence(), &divergence_row_weight);
        Evaluated {
            total: &reconstruction + &divergence * beta,
            terms: vec![reconstruction, divergence],
            by_output: terms.by_output.expect("asked for with a weight"),
            divergence_weight: divergence_row_weight * beta,
        }
    }
}

fn squared_error(output: &Tensor, x: &Tensor, weight: &Tensor) -> Terms {
    let difference = output - x;
    let value = (&difference * &difference).sum_dim_intlist(-1, false, None);
    let weight = weight.to_kind(x.kind()).unsqueeze(-1) * 2.0;
    Terms { value, by_output: Some(difference * weight) }
}

/// Encoder and decoder of one seed, as scoring uses them.
pub struct Network<'a> {
    /// [1, rows, F] → heads, [1, rows, 2L]
    pub encode: &'a dyn Fn(&Tensor) -> Tensor,
    /// [1, rows, L] → outputs
    pub decode: &'a dyn Fn(&Tensor) -> Tensor,
    pub likelihood: Likelihood,
}

/// Rows that scoring passes through the network at a time; bounds its memory. Even, so that normal
/// numbers, which come in pairs, do not depend on it.
const CHUNK: i64 = 2048;

impl Network<'_> {
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
