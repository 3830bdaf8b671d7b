//! What `model::mixture` computes of a batch, for one seed on a CPU core: the loss of z and γ and its
//! gradient with respect to both, in f64 or f32, with the same formulas and without tensors. Every loop
//! runs along the rows, which lie side by side (no closure that a library function calls holds one: it
//! would not be compiled for wide registers); every sum over rows takes the rows in `LANES` interleaved
//! parts, so its bits depend on no vector width. Shapes: B rows, D coordinates, K components; lines of B
//! rows are padded to `stride`.

use std::f64::consts::TAU;

use crate::kernels::{Isa, Work};
use crate::model::mixture::{CLAMP, EMPTY, Rules};
use crate::model::{Determinant, EnergyGuard};
use crate::native::real::Real;

/// Parts of a sum over rows.
const LANES: usize = 32;

/// Room for so many rows, in whole `LANES`.
pub fn stride(rows: usize) -> usize {
    rows.next_multiple_of(LANES)
}

/// λ₁ and λ₂ of equation 7.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    pub energy: f64,
    pub penalty: f64,
}

/// The terms of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// Mean energy of the rows.
    pub energy: f64,
    /// Σₖ Σⱼ 1/(Σₖⱼⱼ + ε)
    pub penalty: f64,
    /// Not 0 where a covariance has no Cholesky factor.
    pub failed: f64,
}

/// The lines of a batch, `stride` values each.
#[derive(Debug, Default)]
pub struct Rows<F> {
    count: usize,
    /// In: z, D lines. Padding is 0.
    pub z: Vec<F>,
    /// In: logits of the memberships, K lines; out: the gradient with respect to them.
    pub logits: Vec<F>,
    /// Out: the gradient with respect to z, D lines.
    pub d_z: Vec<F>,
    /// γ = softmax(logits), K lines
    gamma: Vec<F>,
    /// Exponents, then densities, then ratio · share · λ, K lines
    ratio: Vec<F>,
    /// z − μ, K·D lines
    centred: Vec<F>,
    /// L⁻¹ (z − μ), later `drawn`, D lines of one component
    whitened: Vec<F>,
    /// Σ⁻¹ (z − μ), then that times ratio · share · λ · φ, K·D lines
    drawn: Vec<F>,
    /// Lines of passing use.
    spare: [Vec<F>; 2],
}

/// What `Rows::loss` does.
struct Loss<'a, F> {
    rows: &'a mut Rows<F>,
    rules: &'a Rules,
    weights: Weights,
}

impl<F: Real> Work for Loss<'_, F> {
    type Output = Terms;

    #[inline(always)]
    fn run(self) -> Terms {
        self.rows.loss_of(self.rules, self.weights)
    }
}

/// What the determinant's power is to the gradient: 0 where it is taken for a constant.
fn power_in_gradient(rules: &Rules) -> f64 {
    match rules.determinant {
        Determinant::Sqrt | Determinant::FourthRoot => rules.power(),
        Determinant::SqrtDetached => 0.0,
    }
}

/// A component as a density needs it.
struct Component<F> {
    phi: F,
    mass: F,
    /// [D, D]
    covariance: Vec<F>,
    /// L⁻¹, lower, [D, D]
    inverse: Vec<F>,
    /// Logarithm of what the density is divided by.
    log_norm: F,
    /// Order of the first leading minor of Σ + εI that is not positive definite, else 0.
    failed: usize,
}

impl<F: Real> Rows<F> {
    /// Makes room for so many rows, coordinates and components; z and logits are to be filled.
    pub fn resize(&mut self, count: usize, coordinates: usize, components: usize) {
        let line = stride(count);
        self.count = count;
        let both = components * coordinates * line;
        for (lines, length) in [
            (&mut self.z, coordinates * line),
            (&mut self.d_z, coordinates * line),
            (&mut self.whitened, coordinates * line),
            (&mut self.logits, components * line),
            (&mut self.gamma, components * line),
            (&mut self.ratio, components * line),
            (&mut self.centred, both),
            (&mut self.drawn, both),
        ] {
            lines.resize(length, F::default());
        }
        self.spare.iter_mut().for_each(|spare| spare.resize(line, F::default()));
    }

    /// The terms of the loss, and the gradient of λ₁ · energy + λ₂ · penalty where it belongs.
    pub fn loss(&mut self, isa: Isa, rules: &Rules, weights: Weights) -> Terms {
        isa.run(Loss { rows: self, rules, weights })
    }

    #[inline(always)]
    fn loss_of(&mut self, rules: &Rules, weights: Weights) -> Terms {
        let line = stride(self.count);
        softmax(&self.logits, &mut self.gamma, line, &mut self.spare[0]);
        // padding belongs to nothing
        for gamma in self.gamma.chunks_exact_mut(line) {
            gamma[self.count..].fill(F::default());
        }
        let mut components = Vec::new();
        for k in 0..self.gamma.len() / line {
            components.push(self.component(k, rules));
        }
        let energy = self.densities(&components, rules, F::of(weights.energy));
        self.d_z.fill(F::default());
        let mut penalty = F::default();
        for (k, component) in components.iter().enumerate() {
            penalty += self.back(k, component, rules, F::of(weights.penalty));
        }
        softmax_backward(&self.gamma, &mut self.logits, line, &mut self.spare[0]);
        let failed = components.iter().map(|component| component.failed).max().unwrap_or(0);
        Terms { energy: energy.to_f64(), penalty: penalty.to_f64(), failed: failed as f64 }
    }

    /// φ, μ and Σ of component k (equation 5), Σ's factor, and `centred`.
    #[inline(always)]
    fn component(&mut self, k: usize, rules: &Rules) -> Component<F> {
        let line = stride(self.count);
        let d = self.z.len() / line;
        let gamma = &self.gamma[k * line..(k + 1) * line];
        let sum = total(gamma);
        let empty = F::of(EMPTY);
        let mass = if sum > empty { sum } else { empty };
        let centred = &mut self.centred[k * d * line..(k + 1) * d * line];
        for (centred, z) in centred.chunks_exact_mut(line).zip(self.z.chunks_exact(line)) {
            let mean = dot(gamma, z) / mass;
            centred.iter_mut().zip(z).for_each(|(centred, z)| *centred = *z - mean);
        }
        let mut covariance = vec![F::default(); d * d];
        let weighted = &mut self.spare[0];
        for i in 0..d {
            let of_i = &centred[i * line..(i + 1) * line];
            let products = weighted.iter_mut().zip(of_i).zip(gamma);
            products.for_each(|((weighted, centred), gamma)| *weighted = *centred * *gamma);
            for j in 0..=i {
                let value = dot(weighted, &centred[j * line..(j + 1) * line]) / mass;
                covariance[i * d + j] = value;
                covariance[j * d + i] = value;
            }
        }
        let (lower, failed) = cholesky(&covariance, d, F::of(rules.epsilon));
        let half_log_det: F = (0..d).map(|i| lower[i * d + i].ln()).sum();
        let log_norm = (half_log_det + F::of(0.5 * d as f64 * TAU.ln())) * F::of(rules.power());
        let inverse = inverse_of_lower(&lower, d);
        let phi = sum / F::of(self.count as f64);
        Component { phi, mass, covariance, inverse, log_norm, failed }
    }

    /// The mean energy (equation 6); leaves each component's ratio · share · λ in `ratio`, 0 for padding,
    /// and its exponent's direction Σ⁻¹ (z − μ) in `drawn`.
    #[inline(always)]
    fn densities(&mut self, components: &[Component<F>], rules: &Rules, lambda: F) -> F {
        let line = stride(self.count);
        let d = self.z.len() / line;
        for (k, component) in components.iter().enumerate() {
            let range = k * d * line..(k + 1) * d * line;
            let exponent = &mut self.ratio[k * line..(k + 1) * line];
            whiten(&component.inverse, &self.centred[range.clone()], &mut self.whitened, line);
            exponent.fill(-component.log_norm);
            for whitened in self.whitened.chunks_exact(line) {
                for (exponent, w) in exponent.iter_mut().zip(whitened) {
                    *exponent = (F::of(-0.5) * *w).mul_add(*w, *exponent);
                }
            }
            unwhiten(&component.inverse, &self.whitened, &mut self.drawn[range], line);
        }
        let [largest, sum] = &mut self.spare;
        let clamped = rules.guard == EnergyGuard::Clamped;
        // The published code subtracts max(0, largest Mahalanobis term), which is always 0.
        largest.fill(if clamped { F::default() } else { F::NEG_INFINITY });
        if !clamped {
            for (component, exponent) in components.iter().zip(self.ratio.chunks_exact(line)) {
                let log_phi = component.phi.ln();
                for (largest, exponent) in largest.iter_mut().zip(exponent) {
                    *largest = larger(*exponent + log_phi, *largest);
                }
            }
        }
        sum.fill(if clamped { F::of(CLAMP) } else { F::default() });
        let most = F::LARGEST_EXPONENT;
        for (component, density) in components.iter().zip(self.ratio.chunks_exact_mut(line)) {
            for ((density, largest), sum) in density.iter_mut().zip(&*largest).zip(sum.iter_mut()) {
                let exponent = *density - *largest;
                let bounded = !clamped && exponent > most;
                *density = (if bounded { most } else { exponent }).exp();
                *sum = component.phi.mul_add(*density, *sum);
            }
        }
        let share = lambda / F::of(self.count as f64);
        for ratio in self.ratio.chunks_exact_mut(line) {
            ratio.iter_mut().zip(&*sum).for_each(|(ratio, sum)| *ratio = *ratio / *sum * share);
            ratio[self.count..].fill(F::default());
        }
        let energies = sum[..self.count].iter().zip(&*largest).map(|(s, most)| -(s.ln() + *most));
        energies.sum::<F>() / F::of(self.count as f64)
    }

    /// Adds the energy's part of the gradient with respect to component k's Σ, and leaves `drawn` times
    /// each row's share of the component in `whitened`.
    /// dE/dΣ = ½ r (p Σ⁻¹ − Σ⁻¹ (z−μ)(z−μ)ᵀ Σ⁻¹), with `power` p = 1, ½ for the fourth root, 0 if detached.
    #[inline(always)]
    fn add_energys(
        &mut self,
        k: usize,
        component: &Component<F>,
        power: F,
        d_covariance: &mut [F],
    ) {
        let line = stride(self.count);
        let d = self.z.len() / line;
        let ratio = &self.ratio[k * line..(k + 1) * line];
        let drawn = &self.drawn[k * d * line..(k + 1) * d * line];
        let pulls = total(ratio) * component.phi;
        for i in 0..d {
            let pulled = &mut self.spare[0];
            let of_i = drawn[i * line..(i + 1) * line].iter().zip(ratio);
            let products = pulled.iter_mut().zip(of_i);
            products.for_each(|(pulled, (way, ratio))| *pulled = *way * (*ratio * component.phi));
            for j in 0..=i {
                let precision: F = (0..d)
                    .map(|l| component.inverse[l * d + i] * component.inverse[l * d + j])
                    .sum();
                let spread = dot(pulled, &drawn[j * line..(j + 1) * line]);
                let by = F::of(0.5) * (precision * pulls * power - spread);
                d_covariance[i * d + j] += by;
                d_covariance[j * d + i] = d_covariance[i * d + j];
            }
            self.whitened[i * line..(i + 1) * line].copy_from_slice(pulled);
        }
    }

    /// Component k's part in the gradients with respect to z and γ, and in the penalty. Σₖ does not change
    /// with μₖ to first order, for Σᵢ γᵢₖ (zᵢ − μₖ) = 0.
    #[inline(always)]
    fn back(&mut self, k: usize, component: &Component<F>, rules: &Rules, lambda: F) -> F {
        let line = stride(self.count);
        let d = self.z.len() / line;
        let range = k * d * line..(k + 1) * d * line;
        let d_phi = -total(&self.ratio[k * line..(k + 1) * line]);
        let (mut d_covariance, penalty) = self::penalty(component, d, F::of(rules.epsilon), lambda);
        self.add_energys(k, component, F::of(power_in_gradient(rules)), &mut d_covariance);
        let drawn = &mut self.drawn[range.clone()];
        // from here on by z at a fixed mixture
        drawn.copy_from_slice(&self.whitened);
        let products = d_covariance.iter().zip(&component.covariance);
        let trace: F = products.map(|(by, covariance)| *by * *covariance).sum();

        // dΣ/dz = 2 γ/N G (z−μ) and dμ/dz = γ/N; dΣ/dγ = ((z−μ)ᵀ G (z−μ) − tr(G Σ))/N, dμ/dγ = (z−μ)/N
        let centred = &self.centred[range];
        let [stretched, along] = &mut self.spare;
        along.fill(-trace);
        let gamma = &self.gamma[k * line..(k + 1) * line];
        let inverse_mass = F::of(1.0) / component.mass;
        for i in 0..d {
            stretched.fill(F::default());
            for (j, centred) in centred.chunks_exact(line).enumerate() {
                add_line(d_covariance[i * d + j], centred, stretched);
            }
            let of_i = i * line..(i + 1) * line;
            let mean = -total(&drawn[of_i.clone()]);
            let lines = along.iter_mut().zip(&*stretched).zip(&centred[of_i.clone()]);
            for ((along, s), centred) in lines {
                *along = centred.mul_add(*s + mean, *along);
            }
            let into = self.d_z[of_i.clone()].iter_mut().zip(&drawn[of_i]);
            for (((into, drawn), s), gamma) in into.zip(&*stretched).zip(gamma) {
                *into += F::of(2.0).mul_add(*s, mean).mul_add(*gamma * inverse_mass, *drawn);
            }
        }
        let constant = d_phi / F::of(self.count as f64);
        let d_gamma = &mut self.logits[k * line..(k + 1) * line];
        for (d_gamma, along) in d_gamma.iter_mut().zip(&*along) {
            *d_gamma = along.mul_add(inverse_mass, constant);
        }
        penalty
    }
}

/// −λ₂/(Σⱼⱼ+ε)² on a diagonal [D, D], and Σⱼ 1/(Σⱼⱼ + ε).
fn penalty<F: Real>(component: &Component<F>, d: usize, epsilon: F, lambda: F) -> (Vec<F>, F) {
    let mut d_covariance = vec![F::default(); d * d];
    let mut sum = F::default();
    for i in 0..d {
        let bound = F::of(1.0) / (component.covariance[i * d + i] + epsilon);
        d_covariance[i * d + i] = -lambda * bound * bound;
        sum += bound;
    }
    (d_covariance, sum)
}

/// into = L⁻¹ · centred, D lines each.
#[inline(always)]
fn whiten<F: Real>(inverse: &[F], centred: &[F], into: &mut [F], line: usize) {
    let d = into.len() / line;
    into.fill(F::default());
    for (i, into) in into.chunks_exact_mut(line).enumerate() {
        for j in 0..=i {
            add_line(inverse[i * d + j], &centred[j * line..(j + 1) * line], into);
        }
    }
}

/// into = L⁻ᵀ · whitened, D lines each.
#[inline(always)]
fn unwhiten<F: Real>(inverse: &[F], whitened: &[F], into: &mut [F], line: usize) {
    let d = into.len() / line;
    into.fill(F::default());
    for (i, into) in into.chunks_exact_mut(line).enumerate() {
        for j in i..d {
            add_line(inverse[j * d + i], &whitened[j * line..(j + 1) * line], into);
        }
    }
}

/// Adds factor · line.
#[inline(always)]
fn add_line<F: Real>(factor: F, line: &[F], into: &mut [F]) {
    for (into, value) in into.iter_mut().zip(line) {
        *into = factor.mul_add(*value, *into);
    }
}

/// The lower Cholesky factor of Σ + εI, [D, D], and the order of the first leading minor that is not
/// positive definite, else 0; from that minor on the factor holds no numbers.
fn cholesky<F: Real>(covariance: &[F], d: usize, epsilon: F) -> (Vec<F>, usize) {
    let mut lower = vec![F::default(); d * d];
    let mut failed = 0;
    for i in 0..d {
        for j in 0..=i {
            let product: F = (0..j).map(|l| lower[i * d + l] * lower[j * d + l]).sum();
            let diagonal = if i == j { epsilon } else { F::default() };
            let rest = covariance[i * d + j] + diagonal - product;
            if i != j {
                lower[i * d + j] = rest / lower[j * d + j];
            } else if rest > F::default() {
                lower[i * d + i] = rest.sqrt();
            } else {
                lower[i * d + i] = F::NAN;
                failed = if failed == 0 { i + 1 } else { failed };
            }
        }
    }
    (lower, failed)
}

/// L⁻¹ of a lower L, [D, D] each.
fn inverse_of_lower<F: Real>(lower: &[F], d: usize) -> Vec<F> {
    let mut inverse = vec![F::default(); d * d];
    for column in 0..d {
        for i in column..d {
            let unit = F::of(if i == column { 1.0 } else { 0.0 });
            let product: F = (column..i).map(|l| lower[i * d + l] * inverse[l * d + column]).sum();
            inverse[i * d + column] = (unit - product) / lower[i * d + i];
        }
    }
    inverse
}

/// γ = softmax(logits), K lines each.
#[inline(always)]
fn softmax<F: Real>(logits: &[F], gamma: &mut [F], line: usize, spare: &mut [F]) {
    spare.fill(F::NEG_INFINITY);
    for logits in logits.chunks_exact(line) {
        let both = spare.iter_mut().zip(logits);
        both.for_each(|(largest, logit)| *largest = larger(*logit, *largest));
    }
    for (gamma, logits) in gamma.chunks_exact_mut(line).zip(logits.chunks_exact(line)) {
        for ((gamma, logit), largest) in gamma.iter_mut().zip(logits).zip(&*spare) {
            *gamma = (*logit - *largest).exp();
        }
    }
    spare.fill(F::default());
    for gamma in gamma.chunks_exact(line) {
        spare.iter_mut().zip(gamma).for_each(|(sum, gamma)| *sum += *gamma);
    }
    for gamma in gamma.chunks_exact_mut(line) {
        gamma.iter_mut().zip(&*spare).for_each(|(gamma, sum)| *gamma /= *sum);
    }
}

/// The gradient with respect to the logits from that by γ, in its place: γ (g − Σₖ γₖ gₖ), K lines each.
#[inline(always)]
fn softmax_backward<F: Real>(gamma: &[F], d_gamma: &mut [F], line: usize, spare: &mut [F]) {
    spare.fill(F::default());
    for (gamma, d_gamma) in gamma.chunks_exact(line).zip(d_gamma.chunks_exact(line)) {
        for ((sum, gamma), by) in spare.iter_mut().zip(gamma).zip(d_gamma) {
            *sum = gamma.mul_add(*by, *sum);
        }
    }
    for (gamma, d_gamma) in gamma.chunks_exact(line).zip(d_gamma.chunks_exact_mut(line)) {
        for ((by, gamma), sum) in d_gamma.iter_mut().zip(gamma).zip(&*spare) {
            *by = *gamma * (*by - *sum);
        }
    }
}

/// The larger number, and what is not a number where one is not.
#[inline(always)]
fn larger<F: Real>(value: F, than: F) -> F {
    if value > than || value.is_nan() { value } else { than }
}

/// Σ of a line, in `LANES` parts.
#[inline(always)]
fn total<F: Real>(line: &[F]) -> F {
    let mut parts = [F::default(); LANES];
    for values in line.as_chunks::<LANES>().0 {
        parts.iter_mut().zip(values).for_each(|(part, value)| *part += *value);
    }
    folded(parts)
}

/// Σ of the products of two lines, in `LANES` parts.
#[inline(always)]
fn dot<F: Real>(x: &[F], y: &[F]) -> F {
    let mut parts = [F::default(); LANES];
    for (x, y) in x.as_chunks::<LANES>().0.iter().zip(y.as_chunks::<LANES>().0) {
        for ((part, x), y) in parts.iter_mut().zip(x).zip(y) {
            *part = x.mul_add(*y, *part);
        }
    }
    folded(parts)
}

/// The sum of parts, by halves.
#[inline(always)]
fn folded<F: Real>(mut parts: [F; LANES]) -> F {
    let mut length = LANES / 2;
    while length > 0 {
        let (low, high) = parts.split_at_mut(length);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
        length /= 2;
    }
    parts[0]
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::model::{Batch, Precision};
    use seedbed::random::{Numbers, Stream};

    const WEIGHTS: Weights = Weights { energy: 0.1, penalty: 0.005 };

    /// z and logits of so many rows, coordinates and components, rows last.
    fn made<F: Real>(rows: usize, d: usize, k: usize) -> Rows<F> {
        let mut made = Rows::default();
        made.resize(rows, d, k);
        let mut numbers = Numbers::new(7, Stream::Data, (rows * d * k) as u64);
        let line = stride(rows);
        for lines in [&mut made.z, &mut made.logits] {
            for line in lines.chunks_exact_mut(line) {
                line[..rows].iter_mut().for_each(|value| *value = F::of(3.0 * numbers.normal()));
            }
        }
        made
    }

    fn rules(precision: Precision) -> impl Iterator<Item = Rules> {
        let determinants = [Determinant::Sqrt, Determinant::SqrtDetached, Determinant::FourthRoot];
        let guards = [EnergyGuard::LogSumExp, EnergyGuard::Clamped];
        determinants.into_iter().flat_map(move |determinant| {
            guards.map(|guard| Rules { epsilon: 1e-6, determinant, guard, precision })
        })
    }

    /// Lines as a tensor [1, rows, lines].
    fn tensor<F: Real>(lines: &[F], rows: usize) -> Tensor {
        let line = stride(rows) as i64;
        let lines: Vec<f64> = lines.iter().map(|value| value.to_f64()).collect();
        let all = Tensor::from_slice(&lines).view([-1, line]);
        all.narrow(1, 0, rows as i64).transpose(0, 1).contiguous().unsqueeze(0)
    }

    fn assert_near(got: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
        let scale = expected.abs().max().double_value(&[]).max(1e-12);
        let gap = (got - expected).abs().max().double_value(&[]) / scale;
        assert!(gap < tolerance, "{what}: {gap}");
    }

    /// Holds the core's loss and gradients against the tensors' in the same precision.
    fn check<F: Real>(precision: Precision, tolerance: f64) {
        for (rows, d, k) in [(1, 3, 1), (9, 2, 3), (300, 3, 4), (1024, 5, 2)] {
            for rules in rules(precision) {
                let mut made = made::<F>(rows, d, k);
                let [z, logits] = [&made.z, &made.logits]
                    .map(|lines| tensor(lines, rows).set_requires_grad(true));
                let gamma = logits.softmax(-1, Kind::Double);
                let expected = rules.evaluate(&z, &gamma, &Batch::whole(z.detach()));
                let total = &expected.energy * WEIGHTS.energy + &expected.penalty * WEIGHTS.penalty;
                let gradients = Tensor::run_backward(&[total], &[&z, &logits], false, false);
                let terms = made.loss(Isa::detect(), &rules, WEIGHTS);
                let what = format!("{rows} × {d} × {k}, {rules:?}");
                for (got, expected) in [
                    (terms.energy, &expected.energy),
                    (terms.penalty, &expected.penalty),
                    (terms.failed, &expected.failed),
                ] {
                    assert_near(&Tensor::from_slice(&[got]), expected, tolerance, &what);
                }
                assert_near(&tensor(&made.d_z, rows), &gradients[0], tolerance, &what);
                assert_near(&tensor(&made.logits, rows), &gradients[1], tolerance, &what);
            }
        }
    }

    #[test]
    fn loss_and_gradients_are_those_of_the_formulas_on_tensors() {
        check::<f64>(Precision::F64, 1e-10);
    }

    #[test]
    fn in_f32_loss_and_gradients_are_those_of_the_formulas_on_tensors_to_single_precision() {
        check::<f32>(Precision::F32, 1e-4);
    }

    fn check_instructions<F: Real + std::fmt::Debug>(precision: Precision) {
        for rules in rules(precision) {
            let computed = |isa: Isa| {
                let mut made = made::<F>(300, 3, 4);
                (made.loss(isa, &rules, WEIGHTS), made.d_z, made.logits)
            };
            let all = Isa::all();
            let expected = computed(all[0]);
            for isa in &all[1..] {
                assert_eq!(computed(*isa), expected, "{isa:?}, {rules:?}");
            }
        }
    }

    #[test]
    fn all_instructions_give_the_same_bits() {
        check_instructions::<f64>(Precision::F64);
        check_instructions::<f32>(Precision::F32);
    }

    /// Rows on a line, ±(2, 2): every entry of the covariance is 4, and 4 + 1e-12 is 4 in f32.
    #[test]
    fn a_covariance_can_lose_its_factor_in_f32_alone() {
        fn failed<F: Real>(precision: Precision) -> f64 {
            let guard = EnergyGuard::LogSumExp;
            let rules = Rules { epsilon: 1e-12, determinant: Determinant::Sqrt, guard, precision };
            let mut rows = Rows::<F>::default();
            rows.resize(64, 2, 1);
            for row in 0..64 {
                let value = F::of([2.0, -2.0][row % 2]);
                rows.z[row] = value;
                rows.z[stride(64) + row] = value;
            }
            rows.loss(Isa::detect(), &rules, WEIGHTS).failed
        }
        assert_eq!(failed::<f64>(Precision::F64), 0.0);
        assert_eq!(failed::<f32>(Precision::F32), 2.0);
    }

    #[test]
    fn rows_that_lie_in_one_place_are_reported() {
        let rules = Rules {
            epsilon: -1.0,
            determinant: Determinant::Sqrt,
            guard: EnergyGuard::LogSumExp,
            precision: Precision::F64,
        };
        let mut rows = Rows::<f64>::default();
        rows.resize(8, 2, 1);
        assert_eq!(rows.loss(Isa::detect(), &rules, WEIGHTS).failed, 1.0);
    }
}
