"""Writes dagmm.json: what DAGMM computes, by an implementation that shares nothing with seedbed.

PyTorch in f64 with autograd, written from Zong et al. (ICLR 2018), sections 3.2 to 3.4, and from
danieltan07/dagmm for the variants. Energies are checked against scipy's multivariate normal density
and gradients against central differences before anything is written.

    pip install -r requirements.txt && python dagmm.py      # rewrites dagmm.json beside this file

An array is {"shape": [...], "values": [...]}, C order; the shortest digits that read back exactly.
Inputs are multiples of 1/1024, exact in f32 too. Weights are [in, out]: a layer is x @ W + b.

Defined here as in seedbed, because the formulas are not: with |x| = 0 the relative distance divides by
1; the cosine is 0 where either norm is 0; the gradient of a norm at 0 is 0; a component without any
weight has mean 0 and covariance 0, and no part in the energy.

`sqrt-detached` is the root of the determinant as a number: its gradient is left out, so that of the loss is
the gradient of another function, the loss with those numbers held; that is what the differences check.
"""

import json
import math
import pathlib
import random

import scipy
import scipy.stats
import torch
from scipy.stats import multivariate_normal

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

PAPER = dict(reconstruction="sum", determinant="sqrt", energy_guard="log-sum-exp", covariance_epsilon=1e-6)
PORT = dict(reconstruction="mean", determinant="fourth-root", energy_guard="clamped", covariance_epsilon=1e-12)
FIRST_PORT = PORT | {"determinant": "sqrt-detached"}
DETACHED = PAPER | {"determinant": "sqrt-detached"}
LAMBDA_ENERGY, LAMBDA_COVARIANCE = 0.1, 0.005


# ---- inputs -------------------------------------------------------------------------------------


def grid(numbers, low, high, *shape):
    """Uniform multiples of 1/1024 in [low, high]."""
    count = math.prod(shape)
    values = [numbers.randint(round(low * 1024), round(high * 1024)) / 1024 for _ in range(count)]
    return torch.tensor(values).reshape(shape)


def layer(numbers, name, inputs, outputs, into):
    bound = math.sqrt(6.0 / (inputs + outputs))
    into[f"{name}.weight"] = grid(numbers, -bound, bound, inputs, outputs)
    into[f"{name}.bias"] = grid(numbers, -0.25, 0.25, outputs)


def network(numbers, features, hidden, latent, mixtures):
    widths = [features, *hidden, latent]
    parameters = {}
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        layer(numbers, f"encoder.{i}", a, b, parameters)
    widths.reverse()
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        layer(numbers, f"decoder.{i}", a, b, parameters)
    layer(numbers, "estimation.0", latent + 2, 10, parameters)
    layer(numbers, "estimation.1", 10, mixtures, parameters)
    return parameters


def rows(numbers, count, features):
    """Rows as KDD Cup 99's are: most features 0 or 1, some in between."""
    x = grid(numbers, 0, 1, count, features)
    coarse = grid(numbers, 0, 1, count, features)
    return torch.where(coarse < 0.5, torch.zeros_like(x), torch.where(coarse > 0.8, torch.ones_like(x), x))


# ---- the model ----------------------------------------------------------------------------------


def multilayer(x, parameters, prefix, layers):
    for i in range(layers):
        x = x @ parameters[f"{prefix}.{i}.weight"] + parameters[f"{prefix}.{i}.bias"]
        if i + 1 < layers:
            x = torch.tanh(x)
    return x


def norm(x):
    square = (x * x).sum(1)
    return torch.where(square > 0, torch.sqrt(torch.where(square > 0, square, 1.0)), 0.0)


def relative_distance(x, y):
    size = norm(x)
    return norm(x - y) / torch.where(size > 0, size, 1.0)


def cosine(x, y):
    product = norm(x) * norm(y)
    return torch.where(product > 0, (x * y).sum(1) / torch.where(product > 0, product, 1.0), 0.0)


def mixture(z, gamma):
    """phi [K], mu [K, D], Sigma [K, D, D]: equations 5, before any epsilon."""
    weight = gamma.sum(0)
    divisor = torch.where(weight > 0, weight, 1.0)
    phi = weight / z.shape[0]
    mu = (gamma.T @ z) / divisor[:, None]
    centred = z[:, None, :] - mu[None]
    covariance = torch.einsum("nk,nki,nkj->kij", gamma, centred, centred) / divisor[:, None, None]
    return phi, mu, covariance


def determinants(covariance, choice):
    """|2 pi (Sigma + epsilon)| of every component."""
    sigma = covariance + choice["covariance_epsilon"] * torch.eye(covariance.shape[-1])
    return torch.linalg.det(2 * math.pi * sigma)


def energies(z, phi, mu, covariance, choice, held=None):
    """E(z) per row: equation 6, or danieltan07's form of it; `held` are determinants to take as they are."""
    dimension = z.shape[1]
    sigma = covariance + choice["covariance_epsilon"] * torch.eye(dimension)
    centred = z[:, None, :] - mu[None]
    exponent = -0.5 * torch.einsum("nki,kij,nkj->nk", centred, torch.linalg.inv(sigma), centred)
    determinant = determinants(covariance, choice) if held is None else held
    if choice["determinant"] == "sqrt-detached":
        determinant = determinant.detach()
    scale = determinant ** {"sqrt": 0.5, "sqrt-detached": 0.5, "fourth-root": 0.25}[choice["determinant"]]
    if choice["energy_guard"] == "clamped":
        largest = exponent.clamp(min=0).max(1).values
        total = (phi * torch.exp(exponent - largest[:, None]) / scale).sum(1)
        return -largest - torch.log(total + 1e-12)
    terms = exponent + torch.log(phi) - torch.log(scale)
    return -torch.logsumexp(terms, 1)


def forward(x, parameters, choice, keep=None, probability=0.5, held=None):
    layers = sum(1 for name in parameters if name.startswith("encoder.")) // 2
    code = multilayer(x, parameters, "encoder", layers)
    output = multilayer(code, parameters, "decoder", layers)
    z = torch.cat([code, relative_distance(x, output)[:, None], cosine(x, output)[:, None]], 1)
    hidden = torch.tanh(z @ parameters["estimation.0.weight"] + parameters["estimation.0.bias"])
    if keep is not None:
        hidden = hidden * keep / (1 - probability)
    gamma = torch.softmax(hidden @ parameters["estimation.1.weight"] + parameters["estimation.1.bias"], 1)
    phi, mu, covariance = mixture(z, gamma)
    energy = energies(z, phi, mu, covariance, choice, held)
    square = ((x - output) ** 2).sum(1)
    reconstruction = square.mean() / (1 if choice["reconstruction"] == "sum" else x.shape[1])
    diagonal = torch.diagonal(covariance, dim1=1, dim2=2) + choice["covariance_epsilon"]
    penalty = (1 / diagonal).sum()
    loss = reconstruction + LAMBDA_ENERGY * energy.mean() + LAMBDA_COVARIANCE * penalty
    return dict(
        output=output, z=z, gamma=gamma, phi=phi, mu=mu, covariance=covariance, energy=energy,
        reconstruction_term=reconstruction, energy_term=energy.mean(), penalty_term=penalty, loss=loss,
    )


# ---- cases --------------------------------------------------------------------------------------


def model_case(x, parameters, choice, keep=None):
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    out = forward(x, leaves, choice, keep)
    gradients = torch.autograd.grad(out["loss"], list(leaves.values()))
    check_gradient(x, parameters, choice, keep, gradients)
    z, gamma = out["z"].detach().requires_grad_(), out["gamma"].detach().requires_grad_()
    energy = energies(z, *mixture(z, gamma), choice)
    by_z, by_gamma = torch.autograd.grad(energy.mean(), [z, gamma])
    check_energy(z, gamma, energy, choice)
    return {
        "choice": choice, "x": x, "dropout_keep": keep, "expected": out,
        "loss_gradients": dict(zip(leaves, gradients)),
        "mean_energy_gradients": {"z": by_z, "gamma": by_gamma},
    }


def check_gradient(x, parameters, choice, keep, gradients):
    """A central difference along the gradient equals its squared norm."""
    length = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    held = None
    if choice["determinant"] == "sqrt-detached":
        held = determinants(forward(x, parameters, choice, keep)["covariance"], choice)
    def at(step):
        moved = {n: p + step * g / length for (n, p), g in zip(parameters.items(), gradients)}
        return float(forward(x, moved, choice, keep, held=held)["loss"])
    step = 1e-6
    numeric = (at(step) - at(-step)) / (2 * step)
    assert abs(numeric / length - 1) < 1e-6, (numeric, length)


def check_energy(z, gamma, energy, choice):
    if choice["determinant"] != "sqrt" or choice["energy_guard"] != "log-sum-exp":
        return
    phi, mu, covariance = (value.detach() for value in mixture(z, gamma))
    sigma = covariance + choice["covariance_epsilon"] * torch.eye(z.shape[1])
    density = sum(
        float(phi[k]) * multivariate_normal(mu[k].numpy(), sigma[k].numpy()).pdf(z.detach().numpy())
        for k in range(len(phi))
    )
    assert torch.allclose(energy.detach(), -torch.log(torch.tensor(density)), rtol=1e-9, atol=1e-9)


def features_case(numbers):
    """Distance and cosine on rows where a norm is 0, with the gradients with respect to x'."""
    x, y = grid(numbers, -1, 1, 6, 5), grid(numbers, -1, 1, 6, 5)
    y[1] = x[1]
    x[2] = 0.0
    y[3] = 0.0
    x[4] = y[4] = 0.0
    distance_weight, cosine_weight = grid(numbers, -1, 1, 6), grid(numbers, -1, 1, 6)
    leaf = y.clone().requires_grad_()
    distance, angle = relative_distance(x, leaf), cosine(x, leaf)
    total = (distance_weight * distance).sum() + (cosine_weight * angle).sum()
    (gradient,) = torch.autograd.grad(total, leaf)
    assert torch.isfinite(gradient).all() and (gradient[4] == 0).all()
    return {
        "rows": ["ordinary", "x' = x", "x = 0", "x' = 0", "x = x' = 0", "ordinary"],
        "x": x, "output": y, "distance_weight": distance_weight, "cosine_weight": cosine_weight,
        "expected": {"distance": distance, "cosine": angle, "weighted_sum": total, "output_gradient": gradient},
    }


def degenerate_mixture_case(numbers):
    """Component 1 has no weight at all; component 2 sees one point only, so its covariance is singular.

    `far` rows lie outside the mixture: the paper's energy keeps growing, danieltan07's ends at -log(1e-12).
    """
    z = grid(numbers, -1, 1, 12, 3)
    z[8:] = z[8]
    gamma = torch.zeros(12, 3)
    gamma[:8, 0] = 1.0
    gamma[8:, 2] = 1.0
    leaf = z.clone().requires_grad_()
    phi, mu, covariance = mixture(leaf, gamma)
    energy = energies(leaf, phi, mu, covariance, PAPER)
    present = [0, 2]
    without = energies(leaf, phi[present], mu[present], covariance[present], PAPER)
    assert torch.equal(energy, without) and torch.isfinite(energy).all()
    (gradient,) = torch.autograd.grad(without.mean(), leaf)
    port = PORT | {"covariance_epsilon": PAPER["covariance_epsilon"]}
    far = grid(numbers, 20, 40, 2, 3)
    return {
        "choice": PAPER, "port_choice": port, "z": z, "gamma": gamma, "far_z": far,
        "expected": {"phi": phi, "mu": mu, "covariance": covariance, "energy": energy,
                     "port_energy": energies(z, phi, mu, covariance, port),
                     "far_energy": energies(far, phi, mu, covariance, PAPER),
                     "far_port_energy": energies(far, phi, mu, covariance, port),
                     "mean_energy_z_gradient": gradient},
    }


def batches_case(numbers):
    """danieltan07's evaluation: batch mixtures, their average weighted by membership, the last one."""
    z = grid(numbers, -1, 1, 23, 3)
    gamma = torch.softmax(grid(numbers, -2, 2, 23, 4), 1)
    order = numbers.sample(range(23), 23)
    weight_sum, mu_sum, covariance_sum = 0, 0, 0
    for start in range(0, 23, 6):
        batch = order[start : start + 6]
        phi, mu, covariance = mixture(z[batch], gamma[batch])
        weight = gamma[batch].sum(0)
        weight_sum = weight_sum + weight
        mu_sum = mu_sum + mu * weight[:, None]
        covariance_sum = covariance_sum + covariance * weight[:, None, None]
    return {
        "z": z, "gamma": gamma, "order": order, "batch_size": 6,
        "aggregate": {"phi": weight_sum / 23, "mu": mu_sum / weight_sum[:, None],
                      "covariance": covariance_sum / weight_sum[:, None, None]},
        "last": {"phi": phi, "mu": mu, "covariance": covariance},
    }


def trajectory_case(numbers):
    """50 steps of torch.optim.Adam on given batches, without dropout."""
    shape = dict(features=12, hidden=[6], latent=1, mixtures=2)
    data = rows(numbers, 64, shape["features"])
    initial = network(numbers, **shape)
    batches = [numbers.sample(range(64), 16) for _ in range(50)]
    leaves = {name: value.clone().requires_grad_() for name, value in initial.items()}
    optimiser = torch.optim.Adam(leaves.values(), lr=1e-3)
    losses = []
    for batch in batches:
        loss = forward(data[batch], leaves, PAPER)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    return {
        "choice": PAPER, "shape": shape, "learning_rate": 1e-3, "data": data, "batches": batches,
        "initial": initial, "losses": losses, "final": leaves,
    }


def single_precision_case(z, gamma):
    """Mixture, energies and the mean energy's gradients as PyTorch computes them in f32 throughout."""
    torch.set_default_dtype(torch.float32)  # the gradient of det mixes precisions otherwise
    z, gamma = (value.detach().float().requires_grad_() for value in (z, gamma))
    phi, mu, covariance = mixture(z, gamma)
    sigma = covariance + PAPER["covariance_epsilon"] * torch.eye(z.shape[1])
    centred = z[:, None, :] - mu[None]
    exponent = -0.5 * torch.einsum("nki,kij,nkj->nk", centred, torch.linalg.inv(sigma), centred)
    scale = torch.linalg.det(2 * math.pi * sigma).sqrt()
    energy = -torch.logsumexp(exponent + torch.log(phi) - torch.log(scale), 1)
    by_z, by_gamma = torch.autograd.grad(energy.mean(), [z, gamma])
    assert energy.dtype == by_z.dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    return {"choice": PAPER | {"mixture_precision": "f32"}, "z": z, "gamma": gamma,
            "expected": {"phi": phi, "mu": mu, "covariance": covariance, "energy": energy},
            "mean_energy_gradients": {"z": by_z, "gamma": by_gamma}}


def glorot_case(shape):
    """Bounds of Glorot and Bengio's uniform weights, and how far from uniform so many draws may look (one in
    1e9 is farther); the bounds are checked against torch.nn.init."""
    generator, bounds, count = torch.Generator().manual_seed(1), {}, 0
    widths = [shape["features"], *shape["hidden"], shape["latent"]]
    layers = [(f"encoder.{i}", pair) for i, pair in enumerate(zip(widths, widths[1:]))]
    widths.reverse()
    layers += [(f"decoder.{i}", pair) for i, pair in enumerate(zip(widths, widths[1:]))]
    layers += [("estimation.0", (shape["latent"] + 2, 10)), ("estimation.1", (10, shape["mixtures"]))]
    for name, (inputs, outputs) in layers:
        bound = math.sqrt(6 / (inputs + outputs))
        weight = torch.nn.init.xavier_uniform_(torch.empty(outputs, inputs), generator=generator)
        assert 0.75 * bound < weight.abs().max() <= bound, name
        bounds[name] = bound
        count += inputs * outputs
    return {"shape": shape, "bounds": bounds, "count": count,
            "largest_distance_from_uniform": float(scipy.stats.kstwo.isf(1e-9, count))}


# ---- writing ------------------------------------------------------------------------------------


def plain(value):
    if isinstance(value, torch.Tensor):
        if value.dim() == 0:
            return value.item()
        return {"shape": list(value.shape), "values": value.detach().reshape(-1).tolist()}
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value


def check_finite(value, where="$"):
    if isinstance(value, dict):
        for key, inner in value.items():
            check_finite(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for inner in value:
            check_finite(inner, where)
    elif isinstance(value, float):
        assert math.isfinite(value), where


def main():
    numbers = random.Random(20180430)
    shape = dict(features=120, hidden=[20, 10], latent=3, mixtures=4)
    x = rows(numbers, 16, shape["features"])
    parameters = network(numbers, **shape)
    keep = torch.tensor([[float(numbers.randint(0, 1)) for _ in range(10)] for _ in range(16)])
    with_zero_row = x.clone()
    with_zero_row[5] = 0.0
    batches_like_training = rows(random.Random(20180501), 64, shape["features"])
    wide = forward(batches_like_training, parameters, PAPER)
    fixture = plain({
        "made_by": f"train/tests/golden/dagmm.py, torch {torch.__version__}, scipy {scipy.__version__}, f64",
        "lambda_energy": LAMBDA_ENERGY, "lambda_covariance": LAMBDA_COVARIANCE, "dropout": 0.5,
        "shape": shape, "parameters": parameters,
        "paper": model_case(x, parameters, PAPER),
        "port": model_case(x, parameters, PORT),
        "dropout_mask": model_case(x, parameters, PAPER, keep),
        "zero_row": model_case(with_zero_row, parameters, PAPER),
        "features": features_case(numbers),
        "degenerate_mixture": degenerate_mixture_case(numbers),
        "trajectory": trajectory_case(numbers),
        "batches": batches_case(numbers),
        "first_port": model_case(x, parameters, FIRST_PORT),
        "detached": model_case(x, parameters, DETACHED, keep),
        "single_precision": single_precision_case(wide["z"], wide["gamma"]),
        "glorot": glorot_case(dict(features=118, hidden=[60, 30, 10], latent=1, mixtures=4)),
    })
    check_finite(fixture)
    path = pathlib.Path(__file__).with_name("dagmm.json")
    path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
