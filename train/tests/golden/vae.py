"""Writes vae.json: what the fully connected VAE computes, by an implementation that shares nothing with seedbed.

PyTorch in f64 with autograd, written from Kingma and Welling (2014), appendices B and C, and An and Cho
(2015), algorithm 4. Before anything is written, KL is checked against torch.distributions, likelihoods
against its Normal and Bernoulli, every gradient against central differences, and the reconstruction
probability of a one-dimensional model against scipy's quadrature.

    pip install -r requirements.txt && python vae.py      # rewrites vae.json beside this file

An array is {"shape": [...], "values": [...]}, C order; the shortest digits that read back exactly.
Inputs are multiples of 1/1024, exact in f32 too. Weights are [in, out]: a layer is x @ W + b. Heads are
one linear layer, [mean | log-variance].

Defined here as in seedbed: a bounded log-variance is mid + half tanh((raw - mid) / half), of the decoder
alone; `blog` is no likelihood but sqrt(2 pi s2) (x - m)^2 / (2 s2) per feature, whose norm over the
features trains (its gradient at 0 is 0) and whose sum scores; scores do not know of beta.
`bernoulli-probabilities` is the cross-entropy of sigmoid(output) by plain logarithms: for x in [0, 1] the
value of `bernoulli`, as long as no probability is rounded to 0 or 1. What is then not finite is a string
("nan", "inf", "-inf") in the fixture.
"""

import json
import math
import pathlib
import random

import scipy
import scipy.stats
import torch
from scipy.integrate import quad
from torch.distributions import Bernoulli, Normal, kl_divergence

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

SHAPE = dict(features=7, hidden=[5], latent=3)
BASE = {"activation": "tanh", "decoder": "gaussian", "log-variance": "bounded", "log-variance-bounds": [-6.0, 6.0],
        "beta": 1.0, "reduction": "mean"}
ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}


# ---- inputs -------------------------------------------------------------------------------------


def grid(numbers, low, high, *shape):
    """Uniform multiples of 1/1024 in [low, high]."""
    count = math.prod(shape)
    values = [numbers.randint(round(low * 1024), round(high * 1024)) / 1024 for _ in range(count)]
    return torch.tensor(values).reshape(shape)


def noise(numbers, *shape):
    """Standard normal draws, rounded to multiples of 1/1024."""
    values = [round(numbers.gauss(0, 1) * 1024) / 1024 for _ in range(math.prod(shape))]
    return torch.tensor(values).reshape(shape)


def rows(numbers, count, features):
    """Rows in [0, 1], many of them at its ends, as scaled KDD Cup 99's are."""
    x = grid(numbers, 0, 1, count, features)
    coarse = grid(numbers, 0, 1, count, features)
    return torch.where(coarse < 0.3, torch.zeros_like(x), torch.where(coarse > 0.7, torch.ones_like(x), x))


def output_width(features, choice):
    return 2 * features if two_heads(choice) else features


def two_heads(choice):
    return not is_bernoulli(choice) and "sigma" not in choice


def is_bernoulli(choice):
    return choice["decoder"] in ("bernoulli", "bernoulli-probabilities")


def network(numbers, choice, features, hidden, latent):
    parameters = {}
    mirrored = list(reversed(hidden))
    for name, widths in [
        ("encoder", [features, *hidden, 2 * latent]),
        ("decoder", [latent, *mirrored, output_width(features, choice)]),
    ]:
        for i, (a, b) in enumerate(zip(widths, widths[1:])):
            bound = math.sqrt(6.0 / (a + b))
            parameters[f"{name}.{i}.weight"] = grid(numbers, -bound, bound, a, b)
            parameters[f"{name}.{i}.bias"] = grid(numbers, -0.25, 0.25, b)
    return parameters


# ---- the model ----------------------------------------------------------------------------------


def multilayer(x, parameters, prefix, activation):
    layers = sum(1 for name in parameters if name.startswith(f"{prefix}.")) // 2
    for i in range(layers):
        x = x @ parameters[f"{prefix}.{i}.weight"] + parameters[f"{prefix}.{i}.bias"]
        if i + 1 < layers:
            x = ACTIVATIONS[activation](x)
    return x


def encode(x, parameters, choice):
    heads = multilayer(x, parameters, "encoder", choice["activation"])
    latent = heads.shape[-1] // 2
    return heads[..., :latent], heads[..., latent:]


def decode(z, parameters, choice):
    activation = choice.get("decoder-activation", choice["activation"])
    return multilayer(z, parameters, "decoder", activation)


def mean_and_log_variance(output, choice):
    """Of the Gaussian and the blog's decoder."""
    if "sigma" in choice:
        return output, torch.full_like(output, 2 * math.log(choice["sigma"]))
    features = output.shape[-1] // 2
    mean, raw = output[..., :features], output[..., features:]
    if choice["log-variance"] == "unbounded":
        return mean, raw
    low, high = choice["log-variance-bounds"]
    middle, half = (low + high) / 2, (high - low) / 2
    return mean, middle + half * torch.tanh((raw - middle) / half)


def reconstruction(output, choice):
    """The decoder's mean, in the units of x."""
    return torch.sigmoid(output) if is_bernoulli(choice) else mean_and_log_variance(output, choice)[0]


def plain_cross_entropy(x, probability):
    return -(x * torch.log(probability) + (1 - x) * torch.log(1 - probability))


def per_feature(x, output, choice):
    """-log p(x_j|z) per feature; the blog's quantity for its decoder."""
    if choice["decoder"] == "bernoulli":
        return torch.nn.functional.softplus(output) - x * output
    if choice["decoder"] == "bernoulli-probabilities":
        return plain_cross_entropy(x, torch.sigmoid(output))
    mean, log_variance = mean_and_log_variance(output, choice)
    square = (x - mean) ** 2
    if choice["decoder"] == "blog":
        variance = torch.exp(log_variance)
        return torch.sqrt(2 * math.pi * variance) * square / (2 * variance)
    return 0.5 * (math.log(2 * math.pi) + log_variance + square * torch.exp(-log_variance))


def norm(x):
    square = (x * x).sum(-1)
    return torch.where(square > 0, torch.sqrt(torch.where(square > 0, square, 1.0)), 0.0)


def kl(mean, log_variance):
    """KL(N(mean, exp(log_variance)) | N(0, 1)) per row, closed form."""
    return 0.5 * (mean**2 + torch.exp(log_variance) - 1 - log_variance).sum(-1)


def forward(x, epsilon, parameters, choice):
    mean, log_variance = encode(x, parameters, choice)
    z = mean + torch.exp(log_variance / 2) * epsilon
    output = decode(z, parameters, choice)
    parts = per_feature(x, output, choice)
    error = norm(parts) if choice["decoder"] == "blog" else parts.sum(-1)
    divergence = kl(mean, log_variance)
    objective = error + choice["beta"] * divergence
    reduce = {"mean": torch.mean, "sum": torch.sum}[choice["reduction"]]
    return dict(
        mean=mean, log_variance=log_variance, z=z, output=output, reconstruction=reconstruction(output, choice),
        training_error=error, row_error=parts.sum(-1), kl=divergence,
        error_term=reduce(error), kl_term=reduce(divergence), loss=reduce(objective),
    )


def scores(x, epsilon, parameters, choice):
    """Scores of rows [B, F] under draws [L, B, latent]; higher is more anomalous."""
    mean, log_variance = encode(x, parameters, choice)
    z = mean + torch.exp(log_variance / 2) * epsilon
    output = decode(z, parameters, choice)
    error = per_feature(x, output, choice).sum(-1)  # L, B
    square = ((x - reconstruction(output, choice)) ** 2).mean(-1)
    return {
        "reconstruction-probability": error.mean(0),
        "reconstruction-probability-of-likelihood": math.log(len(epsilon)) - torch.logsumexp(-error, 0),
        "reconstruction-error": square.mean(0),
        "negative-elbo": error.mean(0) + kl(mean, log_variance),
    }


# ---- checks -------------------------------------------------------------------------------------


def check_gradients(x, epsilon, parameters, choice, gradients):
    """Every derivative against a central difference."""
    largest = max(float(g.abs().max()) for g in gradients)
    step = 1e-6
    for (name, value), gradient in zip(parameters.items(), gradients):
        for i in range(value.numel()):
            def at(change):
                moved = value.clone()
                moved.view(-1)[i] += change
                return float(forward(x, epsilon, parameters | {name: moved}, choice)["loss"])
            numeric = (at(step) - at(-step)) / (2 * step)
            assert abs(numeric - float(gradient.reshape(-1)[i])) < 2e-7 * max(largest, 1), (name, i, numeric)


def check_likelihood(x, out, choice):
    posterior = Normal(out["mean"], torch.exp(out["log_variance"] / 2))
    expected = kl_divergence(posterior, Normal(torch.zeros(()), torch.ones(()))).sum(-1)
    assert torch.allclose(out["kl"], expected, rtol=1e-12, atol=1e-12)
    if choice["decoder"] == "blog":
        return
    if is_bernoulli(choice):
        decoder = Bernoulli(logits=out["output"], validate_args=False)  # x in between is allowed
    else:
        mean, log_variance = mean_and_log_variance(out["output"], choice)
        decoder = Normal(mean, torch.exp(log_variance / 2))
    assert torch.allclose(out["row_error"], -decoder.log_prob(x).sum(-1), rtol=1e-10, atol=1e-10)


# ---- cases --------------------------------------------------------------------------------------


def model_case(numbers, change, shape=SHAPE, edit=None):
    """One network, batch and noise: values, every gradient, and scores under four draws and none."""
    choice = BASE | change
    parameters = network(numbers, choice, **shape)
    x, epsilon = rows(numbers, 6, shape["features"]), noise(numbers, 6, shape["latent"])
    if edit is not None:
        edit(parameters, x)
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    out = forward(x, epsilon, leaves, choice)
    gradients = torch.autograd.grad(out["loss"], list(leaves.values()))
    check_gradients(x, epsilon, parameters, choice, gradients)
    check_likelihood(x, {name: value.detach() for name, value in out.items()}, choice)
    draws = noise(numbers, 4, 6, shape["latent"])
    return {
        "shape": shape, "choice": choice, "parameters": parameters, "x": x, "noise": epsilon,
        "expected": out, "gradients": dict(zip(leaves, gradients)),
        "draws": draws, "scores": scores(x, draws, parameters, choice),
        "scores_at_posterior_mean": scores(x, torch.zeros_like(draws[:1]), parameters, choice),
    }


def a_perfect_row(parameters, x):
    """Row 2 is its own reconstruction, exactly: the blog's norm is 0 there."""
    parameters["decoder.1.weight"][:, :7] = 0.0
    parameters["decoder.1.bias"][:7] = x[2]


def extreme_logits(parameters, x):
    """Logits of +-60 against 0, 1 and 1/2."""
    parameters["decoder.1.weight"][:] /= 8
    parameters["decoder.1.bias"][:] = torch.tensor([60.0, -60.0, 60.0, -60.0, 60.0, -60.0, 0.0])
    x[:3] = torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.5, 0.5, 1.0]])
    x[3:] = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]])


def strictly_inside(parameters, x):
    """Values between 0 and 1 alone."""
    x[:] = 0.125 + 0.75 * x


def far_outside(parameters, x):
    """Values from -2 to 3, as rows have that lie outside the range to which a data set was scaled."""
    x[:] = 5 * x - 2


def saturated_case():
    """Cross-entropies of single values in f32, where sigmoid(20) is 1 and sigmoid(-110) is 0, by autograd."""
    logits = torch.tensor([20.0, 20.0, 20.0, 20.0, 20.0, -110.0, -110.0, -110.0, -110.0, -20.0, 3.0], dtype=torch.float32)
    x = torch.tensor([1.0, 0.0, 0.5, 2.0, -1.0, 0.0, 1.0, 0.5, -1.0, 0.0, 1.0], dtype=torch.float32)
    leaf = logits.clone().requires_grad_()
    value = plain_cross_entropy(x, torch.sigmoid(leaf))
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    assert value[0].isnan() and value[3] == -math.inf and torch.isfinite(value[-2:]).all()
    def words(values):
        return [value if math.isfinite(value) else str(value) for value in values.tolist()]
    return {"logits": logits, "x": x, "value": words(value), "gradient": words(gradient)}


def extreme_log_variances(parameters, x):
    """Raw log-variances of +-40, where exp would leave f32 nothing to compute with after a few more steps."""
    parameters["decoder.1.bias"][7:] = torch.tensor([40.0, -40.0, 40.0, -40.0, 3.0, -3.0, 0.0])
    x[:, 1] = 0.25  # a constant column


def one_dimension_case(numbers, change):
    """x and z are numbers, so E_q[log p(x|z)] and log E_q[p(x|z)] are integrals that scipy can do."""
    choice = BASE | change
    shape = dict(features=1, hidden=[4], latent=1)
    parameters = {name: 2 * value for name, value in network(numbers, choice, **shape).items()}
    x = torch.tensor([[0.0], [0.125], [0.5], [0.875], [1.0]])
    expected = {name: [] for name in
                ["reconstruction-probability", "reconstruction-probability-of-likelihood", "reconstruction-error", "negative-elbo"]}
    deviations = {name: [] for name in expected}
    for row in x:
        mean, log_variance = (float(v) for v in encode(row, parameters, choice))
        deviation = math.exp(log_variance / 2)
        def error(z):
            return float(per_feature(row, decode(torch.tensor([z]), parameters, choice), choice).sum())
        def square(z):
            return float((row - reconstruction(decode(torch.tensor([z]), parameters, choice), choice)) ** 2)
        def likelihood(z):
            return math.exp(-error(z))
        def density(z):
            return math.exp(-0.5 * ((z - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        def expectation(value):
            low, high = mean - 12 * deviation, mean + 12 * deviation
            result, uncertainty = quad(lambda z: density(z) * value(z), low, high, epsabs=1e-12, epsrel=1e-12, limit=200)
            assert uncertainty < 1e-10, uncertainty
            return result
        def spread(value):
            return math.sqrt(expectation(lambda z: value(z) ** 2) - expectation(value) ** 2)
        assert abs(expectation(lambda z: 1.0) - 1) < 1e-12
        divergence = expectation(lambda z: math.log(density(z)) + 0.5 * z * z + 0.5 * math.log(2 * math.pi))
        probability = expectation(likelihood)
        for name, value, by_draw in [
            ("reconstruction-probability", expectation(error), spread(error)),
            ("reconstruction-probability-of-likelihood", -math.log(probability), spread(likelihood) / probability),
            ("reconstruction-error", expectation(square), spread(square)),
            ("negative-elbo", expectation(error) + divergence, spread(error)),
        ]:
            expected[name].append(value)
            deviations[name].append(by_draw)
    return {"shape": shape, "choice": choice, "parameters": parameters, "x": x,
            "expected": {name: torch.tensor(values) for name, values in expected.items()},
            "deviation_of_one_draw": {name: torch.tensor(values) for name, values in deviations.items()}}


def trajectory_case(numbers, change, edit=None):
    """Ten steps of torch.optim.Adam on given batches and noise."""
    choice = BASE | change
    initial = network(numbers, choice, **SHAPE)
    data = rows(numbers, 24, SHAPE["features"])
    if edit is not None:
        edit(initial, data)
    batches = [numbers.sample(range(24), 8) for _ in range(10)]
    draws = noise(numbers, 10, 8, SHAPE["latent"])
    leaves = {name: value.clone().requires_grad_() for name, value in initial.items()}
    optimiser = torch.optim.Adam(leaves.values(), lr=1e-3)
    losses = []
    for batch, epsilon in zip(batches, draws):
        loss = forward(data[batch], epsilon, leaves, choice)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return {
        "shape": SHAPE, "choice": choice, "learning_rate": 1e-3, "data": data, "batches": batches, "noise": draws,
        "initial": initial, "losses": losses, "final": leaves,
    }


def glorot_case(shape, decoder_heads):
    """Bounds of Glorot and Bengio's uniform weights by torch.nn.init, where a head of the encoder or the
    decoder is a layer of its own, and how far from uniform so many draws may look (one in 1e9 is farther)."""
    generator, bounds, count = torch.Generator().manual_seed(1), {}, 0
    hidden = shape["hidden"]
    for network, widths, heads in [
        ("encoder", [shape["features"], *hidden, shape["latent"]], 2),
        ("decoder", [shape["latent"], *reversed(hidden), shape["features"]], decoder_heads),
    ]:
        for i, (a, b) in enumerate(zip(widths, widths[1:])):
            bound = math.sqrt(6 / (a + b))
            weight = torch.nn.init.xavier_uniform_(torch.empty(b, a), generator=generator)
            assert 0.9 * bound < weight.abs().max() <= bound
            bounds[f"{network}.{i}"] = bound
            count += a * b * (heads if i + 2 == len(widths) else 1)
    return {"shape": shape, "bounds": bounds, "count": count,
            "largest_distance_from_uniform": float(scipy.stats.kstwo.isf(1e-9, count))}


def kl_case(numbers):
    """KL on its own, with a posterior that is the prior, a narrow one and a wide one."""
    mean, log_variance = grid(numbers, -3, 3, 5, 4), grid(numbers, -6, 3, 5, 4)
    mean[0], log_variance[0] = 0.0, 0.0
    posterior = Normal(mean, torch.exp(log_variance / 2))
    expected = kl_divergence(posterior, Normal(torch.zeros(()), torch.ones(()))).sum(-1)
    assert torch.allclose(kl(mean, log_variance), expected, rtol=1e-13, atol=1e-13) and expected[0] == 0
    return {"mean": mean, "log_variance": log_variance, "kl": expected}


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
    numbers = random.Random(20131220)
    later = random.Random(20200109)  # cases that came later: those before them keep their numbers
    probabilities = {"decoder": "bernoulli-probabilities"}
    blog = {"decoder": "blog", "log-variance": "unbounded"}
    deep = dict(features=7, hidden=[6, 4], latent=2)
    fixture = plain({
        "made_by": f"train/tests/golden/vae.py, torch {torch.__version__}, scipy {scipy.__version__}, f64",
        "models": {
            "gaussian": model_case(numbers, {}),
            "gaussian-sum": model_case(numbers, {"reduction": "sum", "beta": 0.5, "activation": "relu"}),
            "gaussian-unbounded": model_case(numbers, {"log-variance": "unbounded", "activation": "sigmoid"}),
            "gaussian-extreme": model_case(
                numbers, {"log-variance-bounds": [-4.0, 1.0]}, edit=extreme_log_variances),
            "gaussian-sigma": model_case(
                numbers, {"sigma": 0.5, "activation": "sigmoid", "decoder-activation": "relu", "beta": 0.5}),
            "gaussian-two-layers": model_case(numbers, {"activation": "relu", "decoder-activation": "tanh"}, deep),
            "bernoulli": model_case(
                numbers, {"decoder": "bernoulli", "activation": "relu", "decoder-activation": "tanh", "reduction": "sum"}),
            "bernoulli-extreme": model_case(numbers, {"decoder": "bernoulli", "beta": 0.5}, edit=extreme_logits),
            "blog": model_case(numbers, blog | {"reduction": "sum"}),
            "blog-bounded": model_case(numbers, blog | {"log-variance": "bounded"}),
            "blog-perfect-row": model_case(numbers, blog, edit=a_perfect_row),
            "probabilities": model_case(later, probabilities | {"reduction": "sum"}, edit=strictly_inside),
            "probabilities-outside": model_case(later, probabilities | {"beta": 0.5}, edit=far_outside),
        },
        "one_dimension": {
            "gaussian": one_dimension_case(numbers, {}),
            "bernoulli": one_dimension_case(numbers, {"decoder": "bernoulli"}),
        },
        "trajectories": {
            "gaussian": trajectory_case(numbers, {}),
            "bernoulli": trajectory_case(numbers, {"decoder": "bernoulli", "reduction": "sum"}),
            "blog": trajectory_case(numbers, blog | {"reduction": "sum"}),
            "probabilities-outside": trajectory_case(later, probabilities | {"reduction": "sum"}, far_outside),
        },
        "kl": kl_case(numbers),
        "saturated": saturated_case(),
        "glorot": {
            "gaussian": glorot_case(dict(features=118, hidden=[60], latent=10), 2),
            "bernoulli": glorot_case(dict(features=118, hidden=[60, 30], latent=10), 1),
        },
    })
    check_finite(fixture)
    path = pathlib.Path(__file__).with_name("vae.json")
    path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
