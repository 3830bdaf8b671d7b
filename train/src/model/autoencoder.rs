//! The fully connected autoencoder, trained end to end on its reconstruction error: DAGMM (Zong et al.,
//! ICLR 2018) without mixture and estimation network, which the paper calls E2E-AE. Shapes: S seeds,
//! B rows, F features.

use tch::{Kind, Tensor, no_grad};

use super::dagmm::RowSums;
use super::{
    AutoencoderSpec, Batch, Evaluated, Network, Reconstruction, Scores, Scoring, ToScore, mirrored,
};
use crate::nn::linear::Mlp;
use crate::nn::parameters::initialise;
use crate::nn::{ParameterSpec, Parameters};

/// The network; its parameters are kept apart, in `Parameters`.
#[derive(Debug)]
pub struct Autoencoder {
    encoder: Mlp,
    decoder: Mlp,
    reconstruction: Reconstruction,
}

impl Autoencoder {
    /// The network for rows of `features` values, and the parameters that it needs.
    pub fn new(spec: &AutoencoderSpec, features: usize) -> (Self, Vec<ParameterSpec>) {
        let mut parameters = Vec::new();
        let [inward, outward] = mirrored(features, &spec.hidden, spec.latent);
        let encoder = Mlp::new("encoder", &inward, spec.activation, &mut parameters);
        let decoder = Mlp::new("decoder", &outward, spec.activation, &mut parameters);
        initialise(spec.init, &mut parameters, 1);
        (Self { encoder, decoder, reconstruction: spec.reconstruction }, parameters)
    }

    /// The error of every row, [S, B], of x [S, B, F].
    fn errors(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        let sums = RowSums::of(x, &self.reconstruct(parameters, x));
        sums.error(self.reconstruction) * self.reconstruction.scale(x.size()[2] as usize)
    }
}

impl Network for Autoencoder {
    fn terms(&self) -> &'static [&'static str] {
        &["loss", "reconstruction"]
    }

    fn evaluate(&self, parameters: &Parameters, batch: &Batch, _: Option<&Tensor>) -> Evaluated {
        let error = batch.mean(&self.errors(parameters, &batch.x).to_kind(Kind::Double));
        Evaluated { total: error.shallow_clone(), failed: error.zeros_like(), terms: vec![error] }
    }

    fn reconstruct(&self, parameters: &Parameters, x: &Tensor) -> Tensor {
        self.decoder.forward(parameters, &self.encoder.forward(parameters, x))
    }

    fn scores(&self, parameters: &Parameters, rows: ToScore, _: &[Scoring]) -> Vec<Scores> {
        let score = |rows: &Tensor| {
            let chunks = rows.split(CHUNK, 0);
            let of_chunk = |chunk: &Tensor| {
                let errors = self.errors(parameters, &chunk.unsqueeze(0));
                errors.squeeze_dim(0).to_kind(Kind::Double)
            };
            Tensor::cat(&chunks.iter().map(of_chunk).collect::<Vec<_>>(), 0)
        };
        no_grad(|| {
            let test = score(rows.test);
            let test_error = match self.reconstruction {
                Reconstruction::Sum => test.shallow_clone(),
                Reconstruction::Mean => &test * rows.test.size()[1] as f64,
                Reconstruction::Norm => test.square(),
            };
            vec![Scores { train: Some(score(rows.train)), test, test_error, broken: None }]
        })
    }
}

/// Rows that scoring passes through the network at a time; bounds its memory.
const CHUNK: i64 = 4096;
