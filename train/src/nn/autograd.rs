//! Gradients by libtorch's automatic differentiation: models say what is minimised and nothing of how it
//! changes with their parameters.

use tch::{Tensor, with_grad};

use super::parameters::Parameters;

/// Returns what `evaluate` gives of the parameters, and the gradient of each seed's own `total`, `[seeds]`,
/// with respect to its own parameters, [seeds, count]; 0 for those that are not trained or have no part
/// in it. A seed's total must depend on no other seed's parameters.
pub fn with_gradient<T>(
    parameters: &Parameters,
    evaluate: impl FnOnce(&Parameters) -> T,
    total: impl FnOnce(&T) -> &Tensor,
) -> (T, Tensor) {
    let recorded = parameters.recorded();
    let value = with_grad(|| evaluate(&recorded));
    let views = (0..recorded.specs().len()).map(|index| recorded.get(index));
    let leaves: Vec<&Tensor> = views.clone().filter(|view| view.requires_grad()).collect();
    // each seed's total is a summand that the other seeds' parameters do not move
    let sum = with_grad(|| total(&value).sum(None));
    let mut gradients = Tensor::run_backward(&[sum], &leaves, false, false).into_iter();
    let columns: Vec<Tensor> = views
        .map(|view| {
            let own = if view.requires_grad() { gradients.next() } else { None };
            let gradient = own.filter(Tensor::defined).unwrap_or_else(|| view.zeros_like());
            gradient.reshape([view.size()[0], -1])
        })
        .collect();
    (value, Tensor::cat(&columns, 1))
}
