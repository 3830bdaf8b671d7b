//! The fully connected VAE against `train/tests/golden/vae.json`, which PyTorch and scipy made in f64
//! (`train/tests/golden/vae.py`): values, every gradient and the scores, in f64 and in f32, alone and
//! beside another seed; and what every score must do with an obvious outlier.

use crate::support::{assert_close, assert_glorot, distance, fixture, flat, split, tensor};
use seedbed::random::{Numbers, Stream};
use seedbed_train::model::vae::Vae;
use seedbed_train::model::variational::Latent;
use seedbed_train::model::{Average, Batch, Loss, Network, Score, Scoring, ToScore, VaeSpec};
use seedbed_train::nn::{Adam, ParameterSpec, Parameters};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

fn network(case: &Value) -> (Vae, Vec<ParameterSpec>) {
    let mut table = case["choice"].as_object().unwrap().clone();
    for key in ["hidden", "latent"] {
        table.insert(key.to_owned(), case["shape"][key].clone());
    }
    let spec: VaeSpec = serde_json::from_value(Value::Object(table)).unwrap();
    Vae::new(&spec, case["shape"]["features"].as_u64().unwrap() as usize)
}

fn loss(vae: &Vae, parameters: &Parameters, batch: &Batch, noise: &Tensor) -> Loss {
    Loss::of(parameters, |parameters| vae.evaluate(parameters, batch, Some(noise)))
}

const LOG_LIKELIHOOD: Average = Average::LogLikelihood;
/// Every score under the name that the fixture has for it.
const SCORES: [(&str, Score, Average); 4] = [
    ("reconstruction-probability", Score::ReconstructionProbability, LOG_LIKELIHOOD),
    (
        "reconstruction-probability-of-likelihood",
        Score::ReconstructionProbability,
        Average::Likelihood,
    ),
    ("reconstruction-error", Score::ReconstructionError, LOG_LIKELIHOOD),
    ("negative-elbo", Score::NegativeElbo, LOG_LIKELIHOOD),
];

fn scorings(samples: u32) -> Vec<Scoring> {
    let of = |&(_, score, average)| Scoring { score, samples, average, train: false };
    SCORES.iter().map(of).collect()
}

/// Scores of test rows [B, F] for each of `SCORES`.
fn scores(vae: &Vae, parameters: &Parameters, x: &Tensor, seed: u64, samples: u32) -> Vec<Tensor> {
    let rows = ToScore { train: x, test: x, seed, batch_size: 8 };
    vae.scores(parameters, rows, &scorings(samples)).into_iter().map(|scores| scores.test).collect()
}

/// Checks values, loss and gradients of one case of the fixture in a precision.
fn check_model(name: &str, case: &Value, kind: Kind, tolerance: f64) {
    let expected = &case["expected"];
    let close = |what: &str, got: &Tensor| {
        assert_close(&format!("{name}, {what}"), got, &expected[what], tolerance);
    };
    let (vae, specs) = network(case);
    let parameters =
        Parameters::from_flat(specs.clone(), flat(&specs, &case["parameters"]).to_kind(kind));
    let batch = Batch::whole(tensor(&case["x"]).to_kind(kind).unsqueeze(0));
    let noise = tensor(&case["noise"]).to_kind(kind).unsqueeze(0);

    let heads = vae.encode(&parameters, &batch.x);
    let width = heads.size()[2] / 2;
    close("mean", &heads.narrow(2, 0, width));
    close("log_variance", &heads.narrow(2, width, width));
    let latent = Latent::draw(&heads, &noise);
    close("z", &latent.z);
    close("kl", &latent.divergence());
    let output = vae.decode(&parameters, &latent.z);
    close("output", &output);
    close("reconstruction", &vae.likelihood().mean(&output));
    close("row_error", &vae.likelihood().negative_log(&output, &batch.x));

    let loss = loss(&vae, &parameters, &batch, &noise);
    close("error_term", &loss.terms[0]);
    close("kl_term", &loss.terms[1]);
    close("loss", &loss.total);
    assert_eq!(loss.failed.double_value(&[0]), 0.0);
    for (spec, gradient) in specs.iter().zip(split(&specs, &loss.gradient)) {
        let what = format!("{name}, gradient of {}", spec.name);
        assert_close(&what, &gradient, &case["gradients"][&spec.name], tolerance);
    }
}

/// All decoders, activations, reductions and bounds, logits of ±60, a row without an error, and, for the
/// Bernoulli decoder of probabilities, values outside [0, 1].
#[test]
fn every_model_its_loss_and_all_gradients_agree_with_pytorch_in_f64() {
    let fixture = fixture("vae");
    let models = fixture["models"].as_object().unwrap();
    assert_eq!(models.len(), 13);
    for (name, case) in models {
        check_model(name, case, Kind::Double, 1e-10);
    }
}

#[test]
fn f32_models_agree_with_f64_to_single_precision() {
    for (name, case) in fixture("vae")["models"].as_object().unwrap() {
        check_model(name, case, Kind::Float, 5e-6);
    }
}

/// A number of the fixture, or the word for one that is not finite.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// f32, as models train: one row and one feature at a time, the logit as the decoder's bias.
#[test]
fn a_probability_rounded_to_0_or_1_gives_the_loss_and_gradient_that_autograd_gives() {
    let case = &fixture("vae")["saturated"];
    let shape = json!({"features": 1, "hidden": [], "latent": 1});
    let choice = json!({"decoder": "bernoulli-probabilities"});
    let (vae, specs) = network(&json!({"choice": choice, "shape": shape}));
    let (logits, x) = (tensor(&case["logits"]), tensor(&case["x"]));
    for row in 0..logits.size()[0] {
        let (logit, x) = (logits.double_value(&[row]), x.double_value(&[row]));
        // encoder: weight [1, 2], bias [2]; decoder: weight, bias
        let values = [0.0, 0.0, 0.0, 0.0, 0.0, logit as f32];
        let parameters =
            Parameters::from_flat(specs.clone(), Tensor::from_slice(&values).view([1, 6]));
        let batch = Batch::whole(Tensor::from_slice(&[x as f32]).view([1, 1, 1]));
        let loss = loss(&vae, &parameters, &batch, &batch.x.zeros_like());
        let got = [loss.terms[0].double_value(&[0]), loss.gradient.double_value(&[0, 5])];
        let expected = ["value", "gradient"].map(|what| number(&case[what][row as usize]));
        for (got, expected) in got.into_iter().zip(expected) {
            let close = (got - expected).abs() <= 1e-6 * expected.abs();
            let same = got == expected || (got.is_nan() && expected.is_nan());
            assert!(close || same, "logit {logit}, x {x}: {got}, not {expected}");
        }
    }
}

/// At 0 both parts of the softplus have a kink, and their sum has none.
#[test]
fn a_logit_of_0_has_the_gradient_of_a_half_less_the_value() {
    let shape = json!({"features": 1, "hidden": [], "latent": 1});
    let (vae, specs) = network(&json!({"choice": {"decoder": "bernoulli"}, "shape": shape}));
    let parameters =
        Parameters::from_flat(specs, Tensor::zeros([1, 6], (Kind::Double, tch::Device::Cpu)));
    for x in [0.0, 0.2, 1.0] {
        let batch = Batch::whole(Tensor::from_slice(&[x]).view([1, 1, 1]));
        let loss = loss(&vae, &parameters, &batch, &batch.x.zeros_like());
        assert_eq!(loss.gradient.double_value(&[0, 5]), 0.5 - x);
    }
}

#[test]
fn glorot_weights_are_uniform_in_the_bounds_of_each_head_and_biases_0() {
    for (decoder, case) in fixture("vae")["glorot"].as_object().unwrap() {
        let network = |init: &str| {
            let choice = json!({"decoder": decoder, "init": init});
            network(&json!({"choice": choice, "shape": case["shape"]})).1
        };
        let specs = network("glorot");
        let parameters = Parameters::initialise(specs.clone(), &[7], tch::Device::Cpu);
        assert_glorot(decoder, &specs, parameters.flat(), case);
        // and it is not what PyTorch would draw
        let names = |specs: &[ParameterSpec]| -> Vec<String> {
            specs.iter().map(|spec| spec.name.clone()).collect()
        };
        let usual = network("pytorch");
        assert_eq!(names(&usual), names(&specs));
        assert!(usual.iter().zip(&specs).all(|(usual, spec)| usual.initial != spec.initial));
    }
}

#[test]
fn the_divergence_is_the_closed_form_and_0_where_the_posterior_is_the_prior() {
    let case = &fixture("vae")["kl"];
    let heads = Tensor::cat(&[tensor(&case["mean"]), tensor(&case["log_variance"])], 1);
    let noise = Tensor::zeros([1, 5, 4], (Kind::Double, tch::Device::Cpu));
    let divergence = Latent::draw(&heads.unsqueeze(0), &noise).divergence();
    assert_close("KL", &divergence, &case["kl"], 1e-13);
    assert_eq!(divergence.double_value(&[0, 0]), 0.0);
}

/// Two seeds, the second with other weights and noise and fewer rows: each as if it were alone.
#[test]
fn a_seed_beside_another_one_has_the_loss_and_gradients_it_has_alone() {
    for (name, case) in fixture("vae")["models"].as_object().unwrap() {
        let (vae, specs) = network(case);
        let first = flat(&specs, &case["parameters"]);
        let second = &first * 0.75;
        let (x, noise) = (tensor(&case["x"]), tensor(&case["noise"]));
        let other_noise = -&noise;
        let alone = |values: &Tensor, noise: &Tensor, rows: i64| {
            let parameters = Parameters::from_flat(specs.clone(), values.copy());
            let part = |tensor: &Tensor| tensor.narrow(0, 0, rows).unsqueeze(0);
            let loss = loss(&vae, &parameters, &Batch::whole(part(&x)), &part(noise));
            (loss.total, loss.gradient)
        };
        let expected = [alone(&first, &noise, 6), alone(&second, &other_noise, 4)];

        let parameters = Parameters::from_flat(specs.clone(), Tensor::cat(&[first, second], 0));
        let padded = x.copy();
        let _ = padded.narrow(0, 4, 2).fill_(0.5);
        let weight: Vec<f64> = (0..12).map(|row| f64::from(row < 10)).collect();
        let batch = Batch {
            x: Tensor::stack(&[x.shallow_clone(), padded], 0),
            weight: Some(Tensor::from_slice(&weight).view([2, 6])),
        };
        let loss = loss(&vae, &parameters, &batch, &Tensor::stack(&[noise, other_noise], 0));
        for (seed, (total, gradient)) in expected.iter().enumerate() {
            let row = seed as i64;
            assert!(distance(&loss.total.select(0, row), &total.select(0, 0)) < 1e-12, "{name}");
            let got = split(&specs, &loss.gradient.narrow(0, row, 1));
            for ((got, expected), spec) in got.iter().zip(split(&specs, gradient)).zip(&specs) {
                let distance = distance(got, &expected);
                assert!(distance < 1e-12, "{name}, seed {seed}, {}: {distance:e}", spec.name);
            }
        }
    }
}

#[test]
fn ten_steps_of_adam_end_where_pytorchs_end() {
    for (name, case) in fixture("vae")["trajectories"].as_object().unwrap() {
        let (vae, specs) = network(case);
        let mut parameters = Parameters::from_flat(specs.clone(), flat(&specs, &case["initial"]));
        let mut adam = Adam::new(&parameters, case["learning_rate"].as_f64().unwrap());
        let (data, noise) = (tensor(&case["data"]), tensor(&case["noise"]));
        let losses = case["losses"].as_array().unwrap();
        for (step, batch) in case["batches"].as_array().unwrap().iter().enumerate() {
            let rows: Vec<i64> =
                batch.as_array().unwrap().iter().map(|row| row.as_i64().unwrap()).collect();
            let x = data.index_select(0, &Tensor::from_slice(&rows)).unsqueeze(0);
            let noise = noise.narrow(0, step as i64, 1);
            let loss = loss(&vae, &parameters, &Batch::whole(x), &noise);
            assert_close(&format!("{name}, step {step}"), &loss.total, &losses[step], 1e-10);
            adam.step(&mut parameters, &loss.gradient, &[true]);
        }
        let distance = distance(parameters.flat(), &flat(&specs, &case["final"]));
        assert!(distance < 1e-10, "{name}: {distance:e}");
    }
}

/// −log p(x|z), (x−x̂)² as a mean over features, and KL of rows [B, F] under draws [N, B, L].
fn by_draw(vae: &Vae, parameters: &Parameters, x: &Tensor, draws: &Tensor) -> [Tensor; 3] {
    let x = x.unsqueeze(0);
    let heads = vae.encode(parameters, &x);
    let (mut errors, mut squares) = (Vec::new(), Vec::new());
    for noise in draws.split(1, 0) {
        let output = vae.decode(parameters, &Latent::draw(&heads, &noise).z);
        errors.push(vae.likelihood().negative_log(&output, &x));
        let difference = vae.likelihood().mean(&output) - &x;
        squares.push((&difference * &difference).mean_dim(2, false, None));
    }
    let divergence = Latent::draw(&heads, &draws.narrow(0, 0, 1)).divergence();
    [Tensor::cat(&errors, 0), Tensor::cat(&squares, 0), divergence]
}

/// The scores' definitions, in the order of `SCORES`, from what `by_draw` returns.
fn averages([errors, squares, divergence]: [Tensor; 3]) -> [Tensor; 4] {
    let mean = |values: &Tensor| values.mean_dim(0, false, None);
    let of_likelihood = (errors.size()[0] as f64).ln() - (-&errors).logsumexp(0, false);
    let elbo = mean(&errors) + divergence.squeeze_dim(0);
    [mean(&errors), of_likelihood, mean(&squares), elbo]
}

#[test]
fn scores_under_given_draws_agree_with_pytorch() {
    for (name, case) in fixture("vae")["models"].as_object().unwrap() {
        let (vae, specs) = network(case);
        let parameters = Parameters::from_flat(specs.clone(), flat(&specs, &case["parameters"]));
        let got =
            averages(by_draw(&vae, &parameters, &tensor(&case["x"]), &tensor(&case["draws"])));
        for ((score, ..), got) in SCORES.iter().zip(got) {
            assert_close(&format!("{name}, {score}"), &got, &case["scores"][score], 1e-10);
        }
    }
}

/// With its own draws a model scores as the definitions say; without any, at the posterior's mean.
#[test]
fn a_models_scores_are_their_definitions_under_the_seeds_draws() {
    for (name, case) in fixture("vae")["models"].as_object().unwrap() {
        let (vae, specs) = network(case);
        let parameters = Parameters::from_flat(specs.clone(), flat(&specs, &case["parameters"]));
        let x = tensor(&case["x"]);
        let latent = case["shape"]["latent"].as_i64().unwrap();
        let draw = |number: u64| {
            let mut numbers = Numbers::new(9, Stream::ScoringNoise, number);
            Tensor::from_slice(&numbers.normals(6 * latent as usize)).view([6, latent])
        };
        let draws = Tensor::stack(&(0..4).map(draw).collect::<Vec<_>>(), 0).to_kind(Kind::Double);
        let expected = averages(by_draw(&vae, &parameters, &x, &draws));
        let got = scores(&vae, &parameters, &x, 9, 4);
        let at_mean = scores(&vae, &parameters, &x, 9, 0);
        for (index, (score, ..)) in SCORES.iter().enumerate() {
            let what = format!("{name}, {score}");
            let distance = distance(&got[index], &expected[index]);
            assert!(distance < 1e-12, "{what}: {distance:e}");
            let expected = &case["scores_at_posterior_mean"][score];
            assert_close(&format!("{what}, no draws"), &at_mean[index], expected, 1e-10);
        }
    }
}

/// Within five standard errors of scipy's quadrature over z.
#[test]
fn scores_of_a_one_dimensional_model_converge_to_the_integrals() {
    const DRAWS: u32 = 5_000;
    for (name, case) in fixture("vae")["one_dimension"].as_object().unwrap() {
        let (vae, specs) = network(case);
        let parameters = Parameters::from_flat(specs.clone(), flat(&specs, &case["parameters"]));
        let got = scores(&vae, &parameters, &tensor(&case["x"]), 1, DRAWS);
        for ((score, ..), got) in SCORES.iter().zip(got) {
            let deviation = tensor(&case["deviation_of_one_draw"][score]);
            let error = deviation / f64::from(DRAWS).sqrt();
            let off = (got - tensor(&case["expected"][score])).abs() / error;
            let worst = off.max().double_value(&[]);
            assert!(worst < 5.0, "{name}, {score}: {worst} standard errors");
        }
    }
}

/// Rows that have one degree of freedom, near 0 and 1: [64, 6].
fn ordinary_rows() -> Tensor {
    let mut numbers = Numbers::new(5, Stream::Data, 0);
    let values: Vec<f32> = (0..64)
        .flat_map(|row| {
            let low = if row % 2 == 0 { 0.1 } else { 0.9 };
            let noise: Vec<f32> = numbers.normals(6);
            (0..6).map(move |feature| {
                let value = if feature < 3 { low } else { 1.0 - low };
                (value + 0.03 * noise[feature]).clamp(0.0, 1.0)
            })
        })
        .collect();
    Tensor::from_slice(&values).view([64, 6])
}

/// The sign of every score: a row that breaks what all training rows share is more anomalous than
/// each of them.
#[test]
fn an_obvious_outlier_outscores_every_ordinary_row_under_every_score_and_decoder() {
    tch::set_num_threads(1); // as a worker: these tensors are too small to share
    let x = ordinary_rows();
    let outlier = Tensor::from_slice(&[1.0f32, 0.0, 1.0, 0.0, 1.0, 0.0]).view([1, 6]);
    for (decoder, change) in [
        ("gaussian", json!({})),
        ("gaussian", json!({"sigma": 0.3})),
        ("gaussian", json!({"log-variance": "unbounded"})),
        ("bernoulli", json!({})),
        ("blog", json!({"log-variance": "unbounded", "reduction": "sum"})),
    ] {
        let mut choice = change.as_object().unwrap().clone();
        choice.insert("decoder".into(), decoder.into());
        let shape = json!({"features": 6, "hidden": [16], "latent": 2});
        let (vae, specs) = network(&json!({"choice": choice, "shape": shape}));
        let mut parameters = Parameters::initialise(specs, &[3], tch::Device::Cpu);
        let mut adam = Adam::new(&parameters, 1e-2);
        let batch = Batch::whole(x.unsqueeze(0));
        for step in 0..200 {
            let (rows, noise) = (x.size()[0], vae.noise().unwrap());
            let mut drawn = vec![0.0; rows as usize * noise.per_row()];
            noise.draw(3, step, &mut drawn);
            let drawn = Tensor::from_slice(&drawn).view([1, rows, -1]);
            let loss = loss(&vae, &parameters, &batch, &drawn);
            adam.step(&mut parameters, &loss.gradient, &[true]);
        }
        let ordinary = scores(&vae, &parameters, &x, 3, 10);
        let odd = scores(&vae, &parameters, &outlier, 3, 10);
        for (((score, ..), ordinary), odd) in SCORES.iter().zip(ordinary).zip(odd) {
            let (odd, highest) = (odd.double_value(&[0]), ordinary.max().double_value(&[]));
            assert!(odd > highest, "{decoder} {change}, {score}: {odd} is not above {highest}");
        }
    }
}

/// Why log-variances have bounds: a constant column earns a likelihood without limit otherwise.
#[test]
fn bounds_limit_what_a_constant_column_earns() {
    let shape = json!({"features": 1, "hidden": [], "latent": 1});
    let x = Tensor::full([1, 1], 0.25, (Kind::Double, tch::Device::Cpu));
    // decoder.0: weight 0, bias [mean, raw log-variance]
    let score = |log_variance: &str, raw: f64| {
        let choice = json!({"decoder": "gaussian", "log-variance": log_variance});
        let (vae, specs) = network(&json!({"choice": choice, "shape": shape}));
        let values = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25, raw];
        let parameters = Parameters::from_flat(specs, Tensor::from_slice(&values).view([1, 8]));
        scores(&vae, &parameters, &x, 1, 1)[0].double_value(&[0])
    };
    let floor = 0.5 * (std::f64::consts::TAU.ln() - 6.0);
    for raw in [-10.0, -100.0, -600.0] {
        let bounded = score("bounded", raw);
        assert!(bounded >= floor && bounded < floor + 0.5, "{raw}: {bounded}");
        let unbounded = score("unbounded", raw);
        let expected = 0.5 * (std::f64::consts::TAU.ln() + raw);
        assert!((unbounded - expected).abs() < 1e-9, "{raw}: {unbounded}");
    }
}
