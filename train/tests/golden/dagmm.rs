//! DAGMM and its optimiser against `train/tests/golden/dagmm.json`, which PyTorch and scipy made in f64
//! (`train/tests/golden/dagmm.py`): values and all gradients, in f64 and in f32, alone and beside
//! another seed.

use crate::support::{Way, assert_close, assert_glorot, distance, fixture, flat, split, tensor};
use seedbed_train::model::dagmm::{Dagmm, RowSums, batch_mixtures};
use seedbed_train::model::mixture::Mixture;
use seedbed_train::model::{
    Batch, DagmmSpec, Detector, Loss, ModelSpec, Network, Precision, Scores, ToScore,
};
use seedbed_train::nn::{Adam, ParameterSpec, Parameters};
use seedbed_train::training::clip_norm;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

/// The same rows for training and testing.
fn to_score(rows: &Tensor, batch_size: usize) -> ToScore<'_> {
    ToScore { train: rows, test: rows, seed: 1, batch_size }
}

fn spec(shape: &Value, choice: &Value) -> DagmmSpec {
    let mut table = shape.as_object().unwrap().clone();
    table.remove("features");
    for (key, value) in choice.as_object().unwrap() {
        table.insert(key.replace('_', "-"), value.clone());
    }
    serde_json::from_value(Value::Object(table)).unwrap()
}

fn network(shape: &Value, choice: &Value) -> (Dagmm, Vec<ParameterSpec>) {
    Dagmm::new(&spec(shape, choice), shape["features"].as_u64().unwrap() as usize)
}

fn detector(shape: &Value, choice: &Value, dagmm: Dagmm) -> Detector {
    Detector { spec: ModelSpec::Dagmm(spec(shape, choice)), network: Box::new(dagmm) }
}

fn loss(dagmm: &Dagmm, parameters: &Parameters, batch: &Batch, dropout: Option<&Tensor>) -> Loss {
    Loss::of(parameters, |parameters| dagmm.evaluate(parameters, batch, dropout))
}

fn scores(dagmm: &Dagmm, parameters: &Parameters, rows: ToScore) -> Scores {
    dagmm.scores(parameters, rows, &[]).pop().unwrap()
}

/// The gradient of the rows' mean energy with respect to z and γ.
fn energy_gradients(dagmm: &Dagmm, z: &Tensor, gamma: &Tensor) -> [Tensor; 2] {
    let leaves = [z, gamma].map(|leaf| leaf.detach().copy().set_requires_grad(true));
    let batch = Batch::whole(z.shallow_clone());
    let energy = dagmm.rules().evaluate(&leaves[0], &leaves[1], &batch).energy;
    let gradients = Tensor::run_backward(&[energy], &leaves, false, false);
    [0, 1].map(|index: usize| gradients[index].shallow_clone())
}

/// Checks one whole-model case in a precision.
fn check_model(case: &str, kind: Kind, tolerance: f64) {
    let fixture = fixture("dagmm");
    let expected = &fixture[case]["expected"];
    let (dagmm, specs) = network(&fixture["shape"], &fixture[case]["choice"]);
    let parameters =
        Parameters::from_flat(specs.clone(), flat(&specs, &fixture["parameters"]).to_kind(kind));
    let x = tensor(&fixture[case]["x"]).to_kind(kind).unsqueeze(0);
    let keep = &fixture[case]["dropout_keep"];
    let mask = (!keep.is_null()).then(|| {
        tensor(keep).to_kind(kind).unsqueeze(0) / (1.0 - fixture["dropout"].as_f64().unwrap())
    });
    let batch = Batch::whole(x);

    let (code, output) = dagmm.autoencode(&parameters, &batch.x);
    assert_close("x'", &output, &expected["output"], tolerance);
    let z = RowSums::of(&batch.x, &output).coordinates(&code);
    assert_close("z", &z, &expected["z"], tolerance);
    // with a mask, γ shows in the loss and its gradients only
    let gamma = match mask {
        None => dagmm.memberships(&parameters, &z),
        Some(_) => tensor(&expected["gamma"]).to_kind(kind).unsqueeze(0),
    };
    assert_close("γ", &gamma, &expected["gamma"], tolerance);
    let mixture = Mixture::of(&z, &gamma, &batch, Precision::F64);
    assert_close("φ", &mixture.phi, &expected["phi"], tolerance);
    assert_close("μ", &mixture.mean, &expected["mu"], tolerance);
    assert_close("Σ", &mixture.covariance, &expected["covariance"], tolerance);
    assert_close("E(z)", &dagmm.energy(&z, &mixture), &expected["energy"], tolerance);

    let detector = detector(&fixture["shape"], &fixture[case]["choice"], dagmm);
    for way in Way::ALL {
        let Some(loss) = way.loss(&detector, &parameters, &batch, mask.as_ref()) else { continue };
        let close = |name: &str, got: &Tensor, expected: &Value| {
            assert_close(&format!("{way:?}: {name}"), got, expected, tolerance);
        };
        for (term, name) in
            ["reconstruction_term", "energy_term", "penalty_term"].iter().enumerate()
        {
            close(name, &loss.terms[term], &expected[name]);
        }
        close("loss", &loss.total, &expected["loss"]);
        assert_eq!(loss.failed.double_value(&[0]), 0.0);
        for (spec, gradient) in specs.iter().zip(split(&specs, &loss.gradient)) {
            let expected = &fixture[case]["loss_gradients"][&spec.name];
            close(&format!("gradient of {}", spec.name), &gradient, expected);
        }
    }
}

#[test]
fn the_papers_model_its_loss_and_all_gradients_agree_with_pytorch_in_f64() {
    check_model("paper", Kind::Double, 1e-10);
}

#[test]
fn danieltan07s_model_its_loss_and_all_gradients_agree_with_pytorch_in_f64() {
    check_model("port", Kind::Double, 1e-10);
}

/// A determinant that no gradient passes, with the port's guard and, under a mask, with the paper's.
#[test]
fn a_determinant_without_a_gradient_agrees_with_pytorch_in_f64() {
    check_model("first_port", Kind::Double, 1e-10);
    check_model("detached", Kind::Double, 1e-10);
}

#[test]
fn a_dropout_mask_scales_what_it_keeps_as_pytorch_does() {
    check_model("dropout_mask", Kind::Double, 1e-10);
}

#[test]
fn a_row_of_zeros_has_defined_features_and_gradients() {
    check_model("zero_row", Kind::Double, 1e-10);
}

/// f32 networks lose digits where the fixture's penalty of 2374 comes from small variances.
#[test]
fn f32_networks_agree_with_f64_to_single_precision() {
    for case in ["paper", "port", "dropout_mask", "zero_row", "first_port", "detached"] {
        check_model(case, Kind::Float, 2e-3);
    }
}

#[test]
fn the_mean_energys_gradients_agree_with_pytorch() {
    let fixture = fixture("dagmm");
    for case in ["paper", "port", "first_port", "detached"] {
        let (dagmm, _) = network(&fixture["shape"], &fixture[case]["choice"]);
        let leaf = |name: &str| tensor(&fixture[case]["expected"][name]).unsqueeze(0);
        let (z, gamma) = (leaf("z"), leaf("gamma"));
        let [d_z, d_gamma] = energy_gradients(&dagmm, &z, &gamma);
        let expected = &fixture[case]["mean_energy_gradients"];
        assert_close("gradient with respect to z", &d_z, &expected["z"], 1e-10);
        assert_close("gradient with respect to γ", &d_gamma, &expected["gamma"], 1e-10);
    }
}

/// Single precision on both sides: as far apart as two orders of summing put them, and not f64.
#[test]
fn a_mixture_in_f32_agrees_with_pytorch_in_f32() {
    let case = &fixture("dagmm")["single_precision"];
    let shape = json!({"features": 4, "hidden": [2], "latent": 3, "mixtures": 4});
    let (dagmm, _) = network(&shape, &case["choice"]);
    let [z, gamma] =
        ["z", "gamma"].map(|name| tensor(&case[name]).to_kind(Kind::Float).unsqueeze(0));
    let mixture = Mixture::of_rows(&z, &gamma, Precision::F32);
    let [d_z, d_gamma] = energy_gradients(&dagmm, &z, &gamma);
    assert_eq!((mixture.phi.kind(), d_z.kind()), (Kind::Float, Kind::Float));
    let expected = &case["expected"];
    assert_close("φ", &mixture.phi, &expected["phi"], 1e-6);
    assert_close("μ", &mixture.mean, &expected["mu"], 1e-6);
    assert_close("Σ", &mixture.covariance, &expected["covariance"], 1e-6);
    assert_close("E(z)", &dagmm.energy(&z, &mixture), &expected["energy"], 1e-5);
    let gradients = &case["mean_energy_gradients"];
    assert_close("gradient with respect to z", &d_z, &gradients["z"], 1e-5);
    assert_close("gradient with respect to γ", &d_gamma, &gradients["gamma"], 1e-5);

    let (wide, _) = network(&shape, &json!({"covariance-epsilon": 1e-6}));
    let [in_f64_z, _] = energy_gradients(&wide, &z, &gamma);
    assert!(distance(&d_z, &in_f64_z) > 0.0);
}

#[test]
fn features_are_defined_and_differentiable_where_a_norm_is_zero() {
    let case = &fixture("dagmm")["features"];
    let x = tensor(&case["x"]).unsqueeze(0);
    let output = tensor(&case["output"]).unsqueeze(0);
    let no_code = Tensor::zeros([1, x.size()[1], 0], (Kind::Double, x.device()));
    let output = output.set_requires_grad(true);
    let z = RowSums::of(&x, &output).coordinates(&no_code);
    assert_close("distance", &z.select(2, 0), &case["expected"]["distance"], 1e-12);
    assert_close("cosine", &z.select(2, 1), &case["expected"]["cosine"], 1e-12);
    let weights = [tensor(&case["distance_weight"]), tensor(&case["cosine_weight"])];
    let weighted = (z * Tensor::stack(&weights, -1).unsqueeze(0)).sum(None);
    let gradient = &Tensor::run_backward(&[weighted], &[&output], false, false)[0];
    assert_close("gradient", gradient, &case["expected"]["output_gradient"], 1e-12);
}

#[test]
fn an_empty_component_and_a_singular_covariance_leave_the_energy_defined() {
    let case = &fixture("dagmm")["degenerate_mixture"];
    let expected = &case["expected"];
    let shape = json!({"features": 4, "hidden": [2], "latent": 1, "mixtures": 3});
    let z = tensor(&case["z"]).unsqueeze(0);
    let gamma = tensor(&case["gamma"]).unsqueeze(0);
    let mixture = Mixture::of_rows(&z, &gamma, Precision::F64);
    assert_close("φ", &mixture.phi, &expected["phi"], 1e-12);
    assert_close("μ", &mixture.mean, &expected["mu"], 1e-12);
    assert_close("Σ", &mixture.covariance, &expected["covariance"], 1e-12);

    let (paper, _) = network(&shape, &case["choice"]);
    let (port, _) = network(&shape, &case["port_choice"]);
    let far = tensor(&case["far_z"]).unsqueeze(0);
    let energy = paper.energy(&z, &mixture);
    assert_close("energy", &energy, &expected["energy"], 1e-9);
    assert_close("port's energy", &port.energy(&z, &mixture), &expected["port_energy"], 1e-9);
    assert_close("energy far out", &paper.energy(&far, &mixture), &expected["far_energy"], 1e-9);
    let capped = port.energy(&far, &mixture);
    assert_close("port's energy far out", &capped, &expected["far_port_energy"], 1e-9);
    let [d_z, d_gamma] = energy_gradients(&paper, &z, &gamma);
    assert_close("gradient", &d_z, &expected["mean_energy_z_gradient"], 1e-9);
    assert!(d_gamma.isfinite().all().int64_value(&[]) == 1, "a gradient by γ is not finite");
}

#[test]
fn a_covariance_that_is_not_positive_definite_is_reported_and_not_hidden() {
    let shape = json!({"features": 4, "hidden": [2], "latent": 1, "mixtures": 1});
    let choice = json!({"covariance-epsilon": -1.0});
    let (dagmm, specs) = network(&shape, &choice);
    let parameters = Parameters::initialise(specs, &[1, 2], tch::Device::Cpu);
    let batch = Batch::whole(Tensor::ones([2, 8, 4], (Kind::Float, tch::Device::Cpu)));
    let detector = detector(&shape, &choice, dagmm);
    for way in Way::ALL {
        let Some(loss) = way.loss(&detector, &parameters, &batch, None) else { continue };
        let failed = [0, 1].map(|seed| loss.failed.double_value(&[seed]));
        assert!(failed[0] > 0.0 && failed[1] > 0.0, "{way:?}");
    }
}

/// Two seeds, the second with other weights and fewer rows: each as if it were alone.
#[test]
fn a_seed_beside_another_one_has_the_loss_and_gradients_it_has_alone() {
    let fixture = fixture("dagmm");
    let (dagmm, specs) = network(&fixture["shape"], &fixture["paper"]["choice"]);
    let first = flat(&specs, &fixture["parameters"]);
    let second = &first * 0.75;
    let x = tensor(&fixture["paper"]["x"]);
    let alone = |values: &Tensor, rows: i64| {
        let parameters = Parameters::from_flat(specs.clone(), values.copy());
        let loss =
            loss(&dagmm, &parameters, &Batch::whole(x.narrow(0, 0, rows).unsqueeze(0)), None);
        (loss.total, loss.gradient)
    };
    let expected = [alone(&first, 16), alone(&second, 11)];

    let parameters = Parameters::from_flat(specs.clone(), Tensor::cat(&[first, second], 0));
    let padded = x.copy();
    let _ = padded.narrow(0, 11, 5).fill_(3.0);
    let mut weight = [1.0; 32];
    weight[16 + 11..].fill(0.0);
    let batch = Batch {
        x: Tensor::stack(&[x, padded], 0),
        weight: Some(Tensor::from_slice(&weight).view([2, 16])),
    };
    let loss = loss(&dagmm, &parameters, &batch, None);
    for (seed, (total, gradient)) in expected.iter().enumerate() {
        let row = seed as i64;
        assert!(distance(&loss.total.select(0, row), &total.select(0, 0)) < 1e-12);
        let got = split(&specs, &loss.gradient.narrow(0, row, 1));
        for ((got, expected), spec) in got.iter().zip(split(&specs, gradient)).zip(&specs) {
            let distance = distance(got, &expected);
            assert!(distance < 1e-12, "seed {seed}, {}: {distance:e}", spec.name);
        }
    }
}

#[test]
fn fifty_steps_of_adam_end_where_pytorchs_end() {
    let fixture = fixture("dagmm");
    let case = &fixture["trajectory"];
    let (dagmm, specs) = network(&case["shape"], &case["choice"]);
    let mut parameters = Parameters::from_flat(specs.clone(), flat(&specs, &case["initial"]));
    let mut adam = Adam::new(&parameters, case["learning_rate"].as_f64().unwrap());
    let data = tensor(&case["data"]);
    for (batch, expected) in
        case["batches"].as_array().unwrap().iter().zip(case["losses"].as_array().unwrap())
    {
        let rows: Vec<i64> =
            batch.as_array().unwrap().iter().map(|r| r.as_i64().unwrap()).collect();
        let x = data.index_select(0, &Tensor::from_slice(&rows)).unsqueeze(0);
        let loss = loss(&dagmm, &parameters, &Batch::whole(x), None);
        assert_close("loss", &loss.total, expected, 1e-9);
        adam.step(&mut parameters, &loss.gradient, &[true]);
    }
    assert!(distance(parameters.flat(), &flat(&specs, &case["final"])) < 1e-9);
}

/// Another implementation of the port's first version, which shares nothing with the rest of the
/// fixtures: forty steps with dropout, of which some are clipped and some not.
#[test]
fn training_steps_of_danieltan07s_first_version_end_where_a_rewriting_of_it_ends() {
    let case = &fixture("port");
    let (dagmm, specs) = network(&case["shape"], &case["choice"]);
    let mut parameters = Parameters::from_flat(specs.clone(), flat(&specs, &case["initial"]));
    let mut adam = Adam::new(&parameters, case["learning_rate"].as_f64().unwrap());
    let data = tensor(&case["data"]);
    for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let rows: Vec<i64> =
            step["rows"].as_array().unwrap().iter().map(|r| r.as_i64().unwrap()).collect();
        let x = data.index_select(0, &Tensor::from_slice(&rows)).unsqueeze(0);
        let mask = tensor(&step["keep"]).unsqueeze(0) * 2.0;
        let mut loss = loss(&dagmm, &parameters, &Batch::whole(x), Some(&mask));
        assert_close(&format!("loss of step {number}"), &loss.total, &step["loss"], 1e-9);
        for (term, expected) in loss.terms.iter().zip(step["terms"].as_array().unwrap()) {
            assert_close(&format!("a term of step {number}"), term, expected, 1e-9);
        }
        clip_norm(&mut loss.gradient, case["clip"].as_f64().unwrap());
        adam.step(&mut parameters, &loss.gradient, &[true]);
    }
    let moved = distance(&flat(&specs, &case["initial"]), &flat(&specs, &case["final"]));
    let off = distance(parameters.flat(), &flat(&specs, &case["final"]));
    assert!(moved > 1e-4 && off < 1e-9, "moved {moved:e}, {off:e} off");
}

#[test]
fn glorot_weights_are_uniform_in_the_bounds_of_their_layers_and_biases_0() {
    let case = &fixture("dagmm")["glorot"];
    let (_, specs) = network(&case["shape"], &json!({"init": "glorot"}));
    let parameters = Parameters::initialise(specs.clone(), &[7], tch::Device::Cpu);
    assert_glorot("DAGMM", &specs, parameters.flat(), case);
    let (_, usual) = network(&case["shape"], &json!({}));
    assert!(usual.iter().zip(&specs).all(|(usual, spec)| usual.initial != spec.initial));
}

#[test]
fn an_idle_seed_keeps_its_parameters_and_its_place_in_adams_schedule() {
    let fixture = fixture("dagmm");
    let case = &fixture["trajectory"];
    let (_, specs) = network(&case["shape"], &case["choice"]);
    let start = flat(&specs, &case["initial"]);
    let gradient = start.sin();
    let mut both = Parameters::from_flat(specs.clone(), start.repeat([2, 1]));
    let mut adam = Adam::new(&both, 0.1);
    let gradients = gradient.repeat([2, 1]);
    adam.step(&mut both, &gradients, &[true, true]);
    adam.step(&mut both, &gradients, &[true, false]);
    adam.step(&mut both, &gradients, &[true, true]);

    let mut alone = Parameters::from_flat(specs, start);
    let mut adam = Adam::new(&alone, 0.1);
    for _ in 0..2 {
        adam.step(&mut alone, &gradient, &[true]);
    }
    assert!(distance(&both.flat().narrow(0, 1, 1), alone.flat()) < 1e-14);
    assert!(distance(&both.flat().narrow(0, 0, 1), alone.flat()) > 1e-3);
}

#[test]
fn scores_under_the_whole_training_sets_mixture_are_its_energies() {
    let fixture = fixture("dagmm");
    let (dagmm, specs) = network(&fixture["shape"], &fixture["paper"]["choice"]);
    let parameters =
        Parameters::from_flat(specs.clone(), flat(&specs, &fixture["parameters"])).of_seed(0);
    let x = tensor(&fixture["paper"]["x"]);
    let scores = scores(&dagmm, &parameters, to_score(&x, 4));
    let expected = &fixture["paper"]["expected"];
    assert_close("train", scores.train.as_ref().unwrap(), &expected["energy"], 1e-10);
    assert_close("test", &scores.test, &expected["energy"], 1e-10);
    let error = scores.test_error.mean(None);
    assert_close("squared error", &error, &expected["reconstruction_term"], 1e-12);
}

/// One batch that holds every row: aggregate, last batch and whole set are the same mixture.
#[test]
fn with_a_single_batch_danieltan07s_mixtures_are_the_whole_training_sets() {
    let fixture = fixture("dagmm");
    let mut choice = fixture["paper"]["choice"].clone();
    choice["mixture"] = json!("last-batch");
    let (dagmm, specs) = network(&fixture["shape"], &choice);
    let parameters =
        Parameters::from_flat(specs.clone(), flat(&specs, &fixture["parameters"])).of_seed(0);
    let x = tensor(&fixture["paper"]["x"]);
    let expected = &fixture["paper"]["expected"]["energy"];
    let whole = scores(&dagmm, &parameters, to_score(&x, 16));
    assert_close("train", whole.train.as_ref().unwrap(), expected, 1e-10);
    assert_close("test", &whole.test, expected, 1e-10);
    let split = scores(&dagmm, &parameters, to_score(&x, 5));
    assert!(distance(&split.test, &tensor(expected)) > 1e-6);
    assert!(distance(split.train.as_ref().unwrap(), &tensor(expected)) > 1e-6);
    assert!(distance(split.train.as_ref().unwrap(), &split.test) > 1e-6);
}

#[test]
fn danieltan07s_batch_mixtures_are_averaged_by_membership_and_the_last_is_short() {
    let case = &fixture("dagmm")["batches"];
    let order: Vec<i64> =
        case["order"].as_array().unwrap().iter().map(|row| row.as_i64().unwrap()).collect();
    let batch_size = case["batch_size"].as_u64().unwrap() as usize;
    let (z, gamma) = (tensor(&case["z"]).unsqueeze(0), tensor(&case["gamma"]).unsqueeze(0));
    let (aggregate, last) = batch_mixtures([&z, &gamma], &order, batch_size, Precision::F64);
    for (name, mixture) in [("aggregate", aggregate), ("last", last)] {
        assert_close("φ", &mixture.phi, &case[name]["phi"], 1e-12);
        assert_close("μ", &mixture.mean, &case[name]["mu"], 1e-12);
        assert_close("Σ", &mixture.covariance, &case[name]["covariance"], 1e-12);
    }
}

#[test]
fn a_mixture_without_a_cholesky_factor_is_not_definite() {
    let shape = json!({"features": 4, "hidden": [2], "latent": 1, "mixtures": 1});
    let z = Tensor::ones([1, 8, 3], (Kind::Double, tch::Device::Cpu));
    let gamma = Tensor::ones([1, 8, 1], (Kind::Double, tch::Device::Cpu));
    let mixture = Mixture::of_rows(&z, &gamma, Precision::F64);
    let definite = |epsilon: f64| {
        let (dagmm, _) = network(&shape, &json!({"covariance-epsilon": epsilon}));
        dagmm.rules().is_definite(&mixture)
    };
    assert!(definite(1e-6) && !definite(0.0));
}

/// A mixture that `Mixture::of` never makes: its fields are what the formula says they are.
#[test]
fn the_energy_of_one_standard_normal_component_is_its_negative_log_density() {
    let shape = json!({"features": 4, "hidden": [2], "latent": 1, "mixtures": 1});
    let (dagmm, _) = network(&shape, &json!({"covariance-epsilon": 0.0}));
    let options = (Kind::Double, tch::Device::Cpu);
    let mixture = Mixture {
        phi: Tensor::ones([1, 1], options),
        mean: Tensor::zeros([1, 1, 3], options),
        covariance: Tensor::eye(3, options).view([1, 1, 3, 3]),
    };
    let z = Tensor::from_slice(&[1.0, 2.0, -2.0]).view([1, 1, 3]);
    let closed_form = 1.5 * std::f64::consts::TAU.ln() + 4.5;
    let got = dagmm.energy(&z, &mixture).double_value(&[0, 0]);
    assert!((got - closed_form).abs() < 1e-12, "{got} {closed_form}");
}
