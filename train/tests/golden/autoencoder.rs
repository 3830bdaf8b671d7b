//! The autoencoder against `train/tests/golden/autoencoder.json`, which PyTorch made in f64
//! (`train/tests/golden/autoencoder.py`): scores, loss and all gradients.

use crate::support::{assert_close, fixture, flat, split, tensor};
use seedbed_train::model::{Batch, ModelSpec, ToScore, build};
use seedbed_train::nn::Parameters;
use serde_json::json;

#[test]
fn errors_loss_and_all_gradients_agree_with_pytorch_in_f64() {
    let fixture = fixture("autoencoder");
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let mut table = case["choice"].clone();
        table["name"] = json!("autoencoder");
        let spec: ModelSpec = serde_json::from_value(table).unwrap();
        let x = tensor(&case["x"]);
        let (detector, specs) = build(&spec, x.size()[1] as usize, None).unwrap();
        let parameters = Parameters::from_flat(specs.clone(), flat(&specs, &case["parameters"]));
        let loss = detector.loss(&parameters, &Batch::whole(x.unsqueeze(0)), None);
        let errors = tensor(&case["errors"]);
        let off = (&loss.total - errors.mean(None)).abs().double_value(&[0]);
        assert!(off < 1e-13, "{}: {off:e}", case["choice"]);
        for (spec, gradient) in specs.iter().zip(split(&specs, &loss.gradient)) {
            let what = format!("{}: gradient of {}", case["choice"], spec.name);
            assert_close(&what, &gradient, &case["gradients"][&spec.name], 1e-12);
        }
        let rows = ToScore { train: &x, test: &x, seed: 1, batch_size: 4 };
        let scores = detector.network.scores(&parameters, rows, &[]).pop().unwrap();
        assert_close("scores", &scores.test, &case["errors"], 1e-12);
        assert_close("scores", &scores.train.unwrap(), &case["errors"], 1e-12);
        let square = (&x - detector.network.reconstruct(&parameters, &x.unsqueeze(0)))
            .square()
            .sum_dim_intlist(-1, false, None);
        let off = (square.squeeze_dim(0) - scores.test_error).abs().max().double_value(&[]);
        assert!(off < 1e-12, "{}: {off:e}", case["choice"]);
    }
}
