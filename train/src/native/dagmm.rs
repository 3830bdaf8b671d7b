//! A training step of DAGMM for one seed on a CPU core, without tensors: networks in f32 through
//! `kernels`, the mixture in f64 or f32 through `mixture`. Activations pass through the networks in blocks
//! of rows that stay in the cache. What is computed is `model::dagmm`'s; shapes as there.

use std::ops::Range;

use crate::kernels::Isa;
use crate::kernels::pointwise::{Scaled, combine};
use crate::kernels::product::{Finish, Panels, add_transposed, multiply};
use crate::kernels::sparse::{Sparse, multiply_sparse, multiply_transposed_sparse};
use crate::kernels::sums::{RowSums, column_sums, row_sums};
use crate::model::mixture::Rules;
use crate::model::{DagmmSpec, Precision, Reconstruction};
use crate::native::mixture::{self, Terms, Weights};
use crate::native::real::Real;
use crate::native::{Measured, Rows};
use crate::nn::ParameterSpec;

/// Rows that pass through the networks at a time.
const BLOCK: usize = 192;

/// Terms of the loss.
pub const TERMS: usize = 3;

/// A linear layer, and where its parameters lie among a seed's.
#[derive(Debug, Clone, Copy)]
struct Layer {
    inputs: usize,
    outputs: usize,
    weight: usize,
    bias: usize,
}

impl Layer {
    fn weight<'a>(&self, parameters: &'a [f32]) -> &'a [f32] {
        &parameters[self.weight..self.weight + self.inputs * self.outputs]
    }

    fn bias<'a>(&self, parameters: &'a [f32]) -> &'a [f32] {
        &parameters[self.bias..self.bias + self.outputs]
    }

    /// Adds to the layer's gradient what rows of inputs and gradients with respect to outputs give.
    fn gather(&self, isa: Isa, inputs: &[f32], d_outputs: &[f32], gradient: &mut [f32]) {
        let rows = d_outputs.len() / self.outputs;
        let d_weight = &mut gradient[self.weight..self.weight + self.inputs * self.outputs];
        add_transposed(isa, inputs, d_outputs, rows, d_weight);
        self.gather_bias(isa, d_outputs, gradient);
    }

    fn gather_bias(&self, isa: Isa, d_outputs: &[f32], gradient: &mut [f32]) {
        let mut sums = vec![0.0; self.outputs];
        column_sums(isa, d_outputs, &mut sums);
        let d_bias = &mut gradient[self.bias..self.bias + self.outputs];
        d_bias.iter_mut().zip(sums).for_each(|(d_bias, sum)| *d_bias += sum);
    }
}

/// The network's layers, and room for what a step computes.
#[derive(Debug)]
pub struct Core {
    isa: Isa,
    /// Encoder, then decoder.
    layers: Vec<Layer>,
    /// Layers of the encoder.
    depth: usize,
    estimation: [Layer; 2],
    rules: Rules,
    weights: Weights,
    /// Whether a row's error in the loss is ‖x−x'‖ or its square.
    reconstruction: Reconstruction,
    /// What that is multiplied by.
    error_scale: f64,
    room: Room,
}

/// What a step computes, row by row.
#[derive(Debug, Default)]
struct Room {
    /// Outputs of each of `layers`.
    outputs: Vec<Vec<f32>>,
    sums: Sums,
    /// z [B, D] and the gradient with respect to it.
    z: Vec<f32>,
    d_z: Vec<f32>,
    /// Of the estimation network, [B, hidden]: its tanh, and what is left of it by dropout.
    hidden: Vec<f32>,
    dropped: Vec<f32>,
    /// Logits of the memberships, then the gradient with respect to them, [B, K].
    logits: Vec<f32>,
    /// Gradient with respect to the first layer's outputs before tanh, [B, width].
    d_first: Vec<f32>,
    /// Gradients with respect to the outputs of a layer and by its inputs, of one block.
    by: [Vec<f32>; 2],
    mixture: MixtureRows,
    /// What is not zero in x, and whether that is little.
    sparse: Option<Sparse>,
    is_sparse: bool,
}

/// Sums over the features of each row, and what the gradient with respect to x' is made of.
#[derive(Debug, Default)]
struct Sums {
    sums: RowSums<Vec<f32>>,
    along_x: Vec<f32>,
    along_reconstruction: Vec<f32>,
}

/// The rows of a mixture in the precision that its rules ask for.
#[derive(Debug)]
enum MixtureRows {
    F64(mixture::Rows<f64>),
    F32(mixture::Rows<f32>),
}

impl Default for MixtureRows {
    fn default() -> Self {
        Self::new(Precision::default())
    }
}

impl MixtureRows {
    fn new(precision: Precision) -> Self {
        match precision {
            Precision::F64 => Self::F64(mixture::Rows::default()),
            Precision::F32 => Self::F32(mixture::Rows::default()),
        }
    }

    fn resize(&mut self, count: usize, coordinates: usize, components: usize) {
        match self {
            Self::F64(rows) => rows.resize(count, coordinates, components),
            Self::F32(rows) => rows.resize(count, coordinates, components),
        }
    }

    /// Takes z, [B, D], and the memberships' logits, [B, K].
    fn fill(&mut self, [z, logits]: [&[f32]; 2], widths: [usize; 2]) {
        fn fill<F: Real>(
            rows: &mut mixture::Rows<F>,
            [z, logits]: [&[f32]; 2],
            widths: [usize; 2],
        ) {
            to_lines(z, widths[0], &mut rows.z);
            to_lines(logits, widths[1], &mut rows.logits);
        }
        match self {
            Self::F64(rows) => fill(rows, [z, logits], widths),
            Self::F32(rows) => fill(rows, [z, logits], widths),
        }
    }

    fn loss(&mut self, isa: Isa, rules: &Rules, weights: Weights) -> Terms {
        match self {
            Self::F64(rows) => rows.loss(isa, rules, weights),
            Self::F32(rows) => rows.loss(isa, rules, weights),
        }
    }

    /// Sets `d_logits`, [B, K], to the gradient with respect to the logits.
    fn set_d_logits(&self, width: usize, d_logits: &mut [f32]) {
        match self {
            Self::F64(rows) => from_lines(&rows.logits, width, |by, value| *by = value, d_logits),
            Self::F32(rows) => from_lines(&rows.logits, width, |by, value| *by = value, d_logits),
        }
    }

    /// Adds to `d_z`, [B, D], the gradient with respect to z.
    fn add_d_z(&self, width: usize, d_z: &mut [f32]) {
        match self {
            Self::F64(rows) => from_lines(&rows.d_z, width, |by, value| *by += value, d_z),
            Self::F32(rows) => from_lines(&rows.d_z, width, |by, value| *by += value, d_z),
        }
    }
}

impl Core {
    /// The step of a network with such parameters: weights and biases of the encoder, the decoder and the
    /// estimation network.
    pub fn new(isa: Isa, spec: &DagmmSpec, parameters: &[ParameterSpec]) -> Self {
        let mut start = 0;
        let mut layers = Vec::new();
        for pair in parameters.chunks_exact(2) {
            let [inputs, outputs] = [0, 1].map(|axis| pair[0].shape[axis] as usize);
            let bias = start + inputs * outputs;
            layers.push(Layer { inputs, outputs, weight: start, bias });
            start = bias + outputs;
        }
        let estimation = [layers.len() - 2, layers.len() - 1].map(|number| layers[number]);
        layers.truncate(layers.len() - 2);
        let rules = Rules::of(spec);
        Self {
            isa,
            // the decoder has as many layers
            depth: layers.len() / 2,
            estimation,
            rules,
            weights: Weights { energy: spec.lambda_energy, penalty: spec.lambda_covariance },
            reconstruction: spec.reconstruction,
            error_scale: spec.reconstruction.scale(layers[0].inputs),
            room: Room {
                outputs: vec![Vec::new(); layers.len()],
                mixture: MixtureRows::new(rules.precision),
                ..Room::default()
            },
            layers,
        }
    }

    /// The loss of a seed's rows, [B, F], with dropout's mask, [B, hidden], under its parameters; writes
    /// the gradient.
    pub fn loss(&mut self, parameters: &[f32], rows: Rows, gradient: &mut [f32]) -> Measured {
        let Rows { x, noise: dropout } = rows;
        gradient.fill(0.0);
        let rows = x.len() / self.layers[0].inputs;
        self.make_room(rows);
        self.forward(parameters, x);
        self.memberships(parameters, dropout);
        let Terms { energy, penalty, failed } =
            self.room.mixture.loss(self.isa, &self.rules, self.weights);
        self.memberships_back(parameters, dropout, gradient);
        let d_error = (self.error_scale / rows as f64) as f32;
        self.room.sums.back(&self.room.d_z, self.reconstruction, d_error);
        self.back(parameters, x, gradient);
        let of_row = |&square: &f32| match self.reconstruction {
            Reconstruction::Sum | Reconstruction::Mean => f64::from(square),
            Reconstruction::Norm => f64::from(square.sqrt()),
        };
        let errors = self.room.sums.sums.error.iter().map(of_row);
        let error = errors.sum::<f64>() / rows as f64 * self.error_scale;
        let total = error + energy * self.weights.energy + penalty * self.weights.penalty;
        Measured { total, terms: vec![error, energy, penalty], failed }
    }

    fn make_room(&mut self, rows: usize) {
        let room = &mut self.room;
        for (outputs, layer) in room.outputs.iter_mut().zip(&self.layers) {
            outputs.resize(rows * layer.outputs, 0.0);
        }
        let [first, second] = &self.estimation;
        room.z.resize(rows * first.inputs, 0.0);
        room.d_z.resize(rows * first.inputs, 0.0);
        room.hidden.resize(rows * first.outputs, 0.0);
        room.dropped.resize(rows * first.outputs, 0.0);
        room.logits.resize(rows * second.outputs, 0.0);
        room.d_first.resize(rows * self.layers[0].outputs, 0.0);
        let widest = self.layers.iter().map(|layer| layer.outputs).max().unwrap_or(0);
        room.by.iter_mut().for_each(|by| by.resize(BLOCK * widest, 0.0));
        room.mixture.resize(rows, first.inputs, second.outputs);
        let Sums { sums, along_x, along_reconstruction } = &mut room.sums;
        let RowSums { error, product, of_x, of_y } = sums;
        for line in [error, product, of_x, of_y, along_x, along_reconstruction] {
            line.resize(rows, 0.0);
        }
    }

    /// How layer `number`'s outputs are finished: the codes and reconstructions are linear.
    fn finish(&self, number: usize) -> Finish<'static> {
        let linear = number + 1 == self.depth || number + 1 == self.layers.len();
        if linear { Finish::Nothing } else { Finish::Tanh }
    }

    /// Activations, sums over each row, and z.
    fn forward(&mut self, parameters: &[f32], x: &[f32]) {
        let (isa, Layer { inputs: features, .. }) = (self.isa, self.layers[0]);
        let rows = x.len() / features;
        let panels: Vec<Panels> = self
            .layers
            .iter()
            .map(|layer| Panels::of(isa, layer.weight(parameters), layer.inputs, layer.outputs))
            .collect();
        self.first_forward(parameters, x, &panels[0]);
        let last = self.layers.len() - 1;
        for block in blocks(rows) {
            for number in 1..=last {
                let layer = self.layers[number];
                let finish = self.finish(number);
                let (before, after) = self.room.outputs.split_at_mut(number);
                let input = &before[number - 1][span(&block, layer.inputs)];
                let output = &mut after[0][span(&block, layer.outputs)];
                let bias = Some(layer.bias(parameters));
                multiply(input, &panels[number], bias, finish, output);
            }
            let reconstruction = &self.room.outputs[last][span(&block, features)];
            let sums = self.room.sums.of_block(&block);
            row_sums(isa, &x[span(&block, features)], reconstruction, features, sums);
        }
        let latent = self.layers[self.depth - 1].outputs;
        self.room.sums.coordinates(&self.room.outputs[self.depth - 1], latent, &mut self.room.z);
    }

    /// The first layer, which leaves out the zeros of x where there are many.
    fn first_forward(&mut self, parameters: &[f32], x: &[f32], panels: &Panels) {
        let (isa, layer, finish) = (self.isa, self.layers[0], self.finish(0));
        let Room { sparse, outputs, is_sparse, .. } = &mut self.room;
        let (weight, bias) = (layer.weight(parameters), layer.bias(parameters));
        let sparse = sparse.get_or_insert_with(|| Sparse::empty(isa));
        *is_sparse = Sparse::WORTH.contains(&layer.inputs) && sparse.refill(x, layer.inputs);
        let done = is_sparse
            .then(|| multiply_sparse(sparse, weight, bias, finish, &mut outputs[0]))
            .flatten();
        if done.is_none() {
            multiply(x, panels, Some(bias), finish, &mut outputs[0]);
        }
    }

    /// From z to the logits of γ, and both to where the mixture takes them.
    fn memberships(&mut self, parameters: &[f32], dropout: Option<&[f32]>) {
        let Self { isa, estimation: [first, second], room, .. } = self;
        let Room { z, hidden, dropped, logits, mixture, .. } = room;
        let weight = Panels::of(*isa, first.weight(parameters), first.inputs, first.outputs);
        multiply(z, &weight, Some(first.bias(parameters)), Finish::Tanh, hidden);
        dropped.copy_from_slice(hidden);
        if let Some(mask) = dropout {
            dropped.iter_mut().zip(mask).for_each(|(value, mask)| *value *= mask);
        }
        let weight = Panels::of(*isa, second.weight(parameters), second.inputs, second.outputs);
        let bias = Some(second.bias(parameters));
        multiply(dropped, &weight, bias, Finish::Nothing, logits);
        mixture.fill([z, logits], [first.inputs, second.outputs]);
    }

    /// From the mixture's gradients to that by z, and the estimation network's.
    fn memberships_back(
        &mut self,
        parameters: &[f32],
        dropout: Option<&[f32]>,
        gradient: &mut [f32],
    ) {
        let Self { isa, estimation: [first, second], room, .. } = self;
        let Room { z, d_z, hidden, dropped, logits, mixture, .. } = room;
        mixture.set_d_logits(second.outputs, logits);
        second.gather(*isa, dropped, logits, gradient);
        let weight =
            Panels::of_transposed(*isa, second.weight(parameters), second.outputs, second.inputs);
        multiply(logits, &weight, None, Finish::TanhBackward(hidden), dropped);
        if let Some(mask) = dropout {
            dropped.iter_mut().zip(mask).for_each(|(value, mask)| *value *= mask);
        }
        first.gather(*isa, z, dropped, gradient);
        let weight =
            Panels::of_transposed(*isa, first.weight(parameters), first.outputs, first.inputs);
        multiply(dropped, &weight, None, Finish::Nothing, d_z);
        mixture.add_d_z(first.inputs, d_z);
    }

    /// From the gradients with respect to z and by x' through the decoder and the encoder.
    fn back(&mut self, parameters: &[f32], x: &[f32], gradient: &mut [f32]) {
        let (isa, Layer { inputs: features, outputs: width, .. }) = (self.isa, self.layers[0]);
        let rows = x.len() / features;
        let panels: Vec<Panels> = self.layers[1..]
            .iter()
            .map(|layer| {
                Panels::of_transposed(isa, layer.weight(parameters), layer.outputs, layer.inputs)
            })
            .collect();
        for block in blocks(rows) {
            let Room { outputs, sums, d_z, d_first, by: [by, next], .. } = &mut self.room;
            let last = self.layers.len() - 1;
            let (x, output) = (&x[span(&block, features)], &outputs[last][span(&block, features)]);
            let [along_x, along] =
                [&sums.along_x, &sums.along_reconstruction].map(|along| &along[block.clone()]);
            let into = &mut by[..x.len()];
            let output = Scaled { matrix: output, factors: along };
            combine(isa, Scaled { matrix: x, factors: along_x }, output, into);
            for number in (1..=last).rev() {
                let layer = self.layers[number];
                let input = &outputs[number - 1][span(&block, layer.inputs)];
                let d_output = &by[..block.len() * layer.outputs];
                let into = match number {
                    1 => &mut d_first[span(&block, width)],
                    _ => &mut next[..input.len()],
                };
                layer.gather(isa, input, d_output, gradient);
                let code = number == self.depth;
                let finish = if code { Finish::Nothing } else { Finish::TanhBackward(input) };
                multiply(d_output, &panels[number - 1], None, finish, into);
                if code {
                    let coordinates = self.estimation[0].inputs;
                    let d_z = &d_z[span(&block, coordinates)];
                    add_codes(d_z, coordinates, layer.inputs, into);
                }
                std::mem::swap(by, next);
            }
        }
        let layer = self.layers[0];
        match &self.room.sparse {
            Some(sparse) if self.room.is_sparse => {
                let into = &mut gradient[layer.weight..layer.weight + layer.inputs * layer.outputs];
                multiply_transposed_sparse(sparse, &self.room.d_first, into);
                layer.gather_bias(isa, &self.room.d_first, gradient);
            }
            _ => layer.gather(isa, x, &self.room.d_first, gradient),
        }
    }
}

/// Blocks of so many rows.
fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(BLOCK).map(move |start| start..rows.min(start + BLOCK))
}

/// Where a block of rows of so many values lies.
fn span(block: &Range<usize>, width: usize) -> Range<usize> {
    block.start * width..block.end * width
}

/// Adds the codes' part of the gradient with respect to z, [rows, coordinates], to that by the codes.
fn add_codes(d_z: &[f32], coordinates: usize, latent: usize, into: &mut [f32]) {
    for (into, d_z) in into.chunks_exact_mut(latent).zip(d_z.chunks_exact(coordinates)) {
        into.iter_mut().zip(d_z).for_each(|(into, d_z)| *into += d_z);
    }
}

/// [rows, width] in f32 to `width` lines of rows, and 0 where a line goes on: what another batch left
/// there could be NaN.
fn to_lines<F: Real>(values: &[f32], width: usize, lines: &mut [F]) {
    let (rows, stride) = (values.len() / width, lines.len() / width);
    for (column, line) in lines.chunks_exact_mut(stride).enumerate() {
        let (line, padding) = line.split_at_mut(rows);
        let column = values[column..].iter().step_by(width);
        line.iter_mut().zip(column).for_each(|(place, &value)| *place = F::of(value.into()));
        padding.fill(F::default());
    }
}

/// `width` lines of rows to [rows, width] in f32.
fn from_lines<F: Real>(lines: &[F], width: usize, put: impl Fn(&mut f32, f32), values: &mut [f32]) {
    let stride = lines.len() / width;
    for (column, line) in lines.chunks_exact(stride).enumerate() {
        let places = values[column..].iter_mut().step_by(width);
        places.zip(line).for_each(|(place, &value)| put(place, value.to_f32()));
    }
}

/// A norm from its square, where 0 is held as 1, and whether it is not 0.
fn norm(square: f32) -> (f32, f32) {
    if square > 0.0 { (square.sqrt(), 1.0) } else { (1.0, 0.0) }
}

impl Sums {
    /// Where the sums of a block of rows are to be written.
    fn of_block(&mut self, block: &Range<usize>) -> RowSums<&mut [f32]> {
        let RowSums { error, product, of_x, of_y } = &mut self.sums;
        let [error, product, of_x, of_y] =
            [error, product, of_x, of_y].map(|sums| &mut sums[block.clone()]);
        RowSums { error, product, of_x, of_y }
    }

    /// z = [code, ‖x−x'‖/‖x‖, cos(x, x')] (equation 3), [B, latent + 2], as `model::dagmm::RowSums` has it.
    fn coordinates(&self, codes: &[f32], latent: usize, z: &mut [f32]) {
        let RowSums { error, product, of_x, of_y: of_reconstruction } = &self.sums;
        let rows = z.chunks_exact_mut(latent + 2).zip(codes.chunks_exact(latent)).enumerate();
        for (row, (z, code)) in rows {
            let (x, _) = norm(of_x[row]);
            let (reconstruction, _) = norm(of_reconstruction[row]);
            let (distance, apart) = norm(error[row]);
            z[..latent].copy_from_slice(code);
            z[latent] = distance * apart / x;
            z[latent + 1] = product[row] / (x * reconstruction);
        }
    }

    /// What the gradient with respect to x' is made of, along x and along x', from those by z [B, D] and by
    /// a row's error in the loss.
    fn back(&mut self, d_z: &[f32], reconstruction: Reconstruction, d_own_error: f32) {
        let RowSums { error, product, of_x, of_y: of_reconstruction } = &self.sums;
        let coordinates = d_z.len() / error.len();
        for (row, d_z) in d_z.chunks_exact(coordinates).enumerate() {
            let (d_distance, d_cosine) = (d_z[coordinates - 2], d_z[coordinates - 1]);
            let (x, _) = norm(of_x[row]);
            let (length, present) = norm(of_reconstruction[row]);
            let (distance, apart) = norm(error[row]);
            // d‖x−x'‖/d‖x−x'‖² = 1 / (2 ‖x−x'‖)
            let d_squared_error = match reconstruction {
                Reconstruction::Sum | Reconstruction::Mean => d_own_error,
                Reconstruction::Norm => d_own_error * apart / distance * 0.5,
            };
            let d_error = d_squared_error + d_distance * apart / (x * distance) * 0.5;
            let d_product = d_cosine * present / (x * length);
            // d cos / d‖x'‖² = −cos / (2 ‖x'‖²)
            let d_square = d_product * product[row] / (length * length) * -0.5;
            self.along_reconstruction[row] = (d_error + d_square) * 2.0;
            self.along_x[row] = d_product - d_error * 2.0;
        }
    }
}
