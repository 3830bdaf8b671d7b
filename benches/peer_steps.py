"""One training step of seedbed's models in PyTorch, in three styles; `bench_peer.py` runs it.

    python peer_steps.py --check                      # every loss beside the golden fixtures' values
    python peer_steps.py MODEL STYLE --steps N        # {"seconds_per_step": median}, on one thread

Styles: `eager`, what a careful user writes (vectorised, batches taken from a tensor in memory, fused Adam);
`compile`, the same with the loss, its gradient and nothing else inside `torch.compile`; `port`, as the public ports
do it (a data loader that picks rows one by one, an inverse and a determinant per mixture, the loss read back at
each step). All compute what seedbed computes: `--check` compares each with the numbers that seedbed's own
golden tests are held to. `dagmm` and `vae` have f32 networks; `dagmm` has its mixture in f64, as seedbed,
`dagmm-f32` has not.
"""

import argparse
import json
import math
import pathlib
import statistics
import time

import numpy
import torch
from torch import nn
from torch.nn import functional

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "train/tests/golden"
TAU_LOG = math.log(2 * math.pi)


def multilayer(widths):
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


# ---- DAGMM: experiment dagmm-kddcup, cell reconstruction=sum ---------------------------------------

EPSILON, LAMBDA_ENERGY, LAMBDA_COVARIANCE = 1e-6, 0.1, 0.005


class Dagmm(nn.Module):
    def __init__(self, features=118, hidden=(60, 30, 10), latent=1, mixtures=4, mixture_kind=torch.float64, port=False):
        super().__init__()
        widths = [features, *hidden, latent]
        self.encoder, self.decoder = multilayer(widths), multilayer(widths[::-1])
        self.first, self.second = nn.Linear(latent + 2, 10), nn.Linear(10, mixtures)
        self.mixture_kind, self.mean_energy = mixture_kind, port_energy if port else energy

    def forward(self, x, keep=None):
        """The loss; `keep` is a dropout mask of zeros and ones, drawn where absent."""
        code = self.encoder(x)
        output = self.decoder(code)
        distance = (x - output).norm(dim=1) / x.norm(dim=1)
        cosine = functional.cosine_similarity(x, output, dim=1)
        z = torch.cat([code, distance[:, None], cosine[:, None]], dim=1)
        hidden = torch.tanh(self.first(z))
        hidden = functional.dropout(hidden, 0.5) if keep is None else 2 * keep * hidden
        gamma = torch.softmax(self.second(hidden), dim=1)
        mean_energy, penalty = self.mean_energy(z.to(self.mixture_kind), gamma.to(self.mixture_kind))
        return (x - output).square().sum(1).mean() + LAMBDA_ENERGY * mean_energy + LAMBDA_COVARIANCE * penalty


def energy(z, gamma):
    """Mean energy and penalty, vectorised: two small matrix products and a Cholesky factor of all mixtures."""
    rows, dimension = z.shape
    weight = gamma.sum(0)
    mu = gamma.T @ z / weight[:, None]
    centred = z - mu[:, None]  # K, N, D
    covariance = (gamma.T[:, :, None] * centred).mT @ centred / weight[:, None, None]
    covariance = covariance + EPSILON * torch.eye(dimension, dtype=z.dtype, device=z.device)
    factor = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(factor, centred.mT, upper=False)
    log_determinant = 2 * torch.diagonal(factor, dim1=1, dim2=2).log().sum(1)
    exponent = -0.5 * (whitened.square().sum(1) + (log_determinant + dimension * TAU_LOG)[:, None])
    row_energy = -torch.logsumexp(exponent + (weight / rows).log()[:, None], dim=0)
    return row_energy.mean(), (1 / torch.diagonal(covariance, dim1=1, dim2=2)).sum()


def port_energy(z, gamma):
    """The same as the ports compute it, with products of [rows, mixtures, D, D]."""
    rows, dimension = z.shape
    weight = gamma.sum(0)
    phi = weight / rows
    mu = (gamma.unsqueeze(-1) * z.unsqueeze(1)).sum(0) / weight.unsqueeze(-1)
    centred = z.unsqueeze(1) - mu.unsqueeze(0)
    outer = centred.unsqueeze(-1) * centred.unsqueeze(-2)
    covariance = (gamma.unsqueeze(-1).unsqueeze(-1) * outer).sum(0) / weight.unsqueeze(-1).unsqueeze(-1)
    inverses, determinants, penalty = [], [], 0
    for k in range(gamma.shape[1]):
        own = covariance[k] + torch.eye(dimension, dtype=z.dtype) * EPSILON
        inverses.append(torch.inverse(own).unsqueeze(0))
        determinants.append(torch.linalg.cholesky(own * (2 * math.pi)).diag().prod().unsqueeze(0))
        penalty = penalty + (1 / own.diag()).sum()
    inverse, root = torch.cat(inverses), torch.cat(determinants)
    exponent = -0.5 * ((centred.unsqueeze(-1) * inverse.unsqueeze(0)).sum(-2) * centred).sum(-1)
    largest = exponent.max(dim=1, keepdim=True)[0]
    total = (phi.unsqueeze(0) * torch.exp(exponent - largest) / root.unsqueeze(0)).sum(1)
    return (-largest.squeeze() - torch.log(total)).mean(), penalty


def kddcup_rows(batch):
    return (torch.rand(100 * batch, 118) < 0.2).float()


# ---- variational autoencoders: vae-kddcup's decoder=gaussian, conv-vae-mnist -----------------------


def draw(heads, noise):
    """z of [mean | log-variance], and the KL divergence per row."""
    mean, log_variance = heads.chunk(2, dim=1)
    noise = torch.randn_like(mean) if noise is None else noise
    z = mean + torch.exp(0.5 * log_variance) * noise
    return z, 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


class Vae(nn.Module):
    def __init__(self, features=118, hidden=60, latent=10):
        super().__init__()
        self.encoder = multilayer([features, hidden, 2 * latent])
        self.decoder = multilayer([latent, hidden, 2 * features])

    def forward(self, x, noise=None):
        z, divergence = draw(self.encoder(x), noise)
        mean, raw = self.decoder(z).chunk(2, dim=1)
        log_variance = 6.0 * torch.tanh(raw / 6.0)
        square = (x - mean).square() * torch.exp(-log_variance)
        error = 0.5 * (TAU_LOG + log_variance + square).sum(1)
        return (error + divergence).mean()


class ConvVae(nn.Module):
    def __init__(self, channels=(16, 32), latent=100):
        super().__init__()
        first, second = channels
        self.encoder = nn.Sequential(
            nn.Conv2d(1, first, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(second), nn.ReLU(inplace=True),
            nn.Flatten(), nn.Linear(second * 7 * 7, 2 * latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, second * 7 * 7), nn.Unflatten(1, (second, 7, 7)),
            nn.ConvTranspose2d(second, first, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(first),
            nn.ReLU(inplace=True), nn.ConvTranspose2d(first, 1, 4, stride=2, padding=1, bias=False),
        )
        for layer in [*self.encoder, *self.decoder]:
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, x, noise=None):
        z, divergence = draw(self.encoder(x), noise)
        error = functional.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum") / len(x)
        return error + divergence.mean()


def mnist_rows(batch):
    # about a fifth of MNIST's pixels are not black
    return (torch.rand(40 * batch, 1, 28, 28) - 0.8).clamp(min=0) * 5


# Model → network for a style, rows, batch size, learning rate.
MODELS = {
    # the ports know f32 alone
    "dagmm": (lambda port: Dagmm(mixture_kind=torch.float32 if port else torch.float64, port=port), kddcup_rows, 1024, 1e-4),
    "dagmm-f32": (lambda port: Dagmm(mixture_kind=torch.float32, port=port), kddcup_rows, 1024, 1e-4),
    "vae": (lambda port: Vae(), kddcup_rows, 128, 1e-3),
    "conv-vae": (lambda port: ConvVae(), mnist_rows, 256, 1e-4),
}
STYLES = ["eager", "compile", "port"]


# ---- the same loss as seedbed's --------------------------------------------------------------------


def tensor(entry):
    return torch.tensor(entry["values"], dtype=torch.float64).reshape(entry["shape"])


def fixture(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def set_linear(layers, values, prefix):
    """Weights of the fixture are [in, out]."""
    for number, layer in enumerate(layer for layer in layers if isinstance(layer, nn.Linear)):
        layer.weight.copy_(tensor(values[f"{prefix}.{number}.weight"]).T)
        layer.bias.copy_(tensor(values[f"{prefix}.{number}.bias"]))


def dagmm_cases():
    golden = fixture("dagmm")
    case, values, shape = golden["dropout_mask"], golden["parameters"], golden["shape"]
    for port in [False, True]:
        network = Dagmm(**shape, port=port).double()
        set_linear(network.encoder, values, "encoder")
        set_linear(network.decoder, values, "decoder")
        set_linear([network.first, network.second], values, "estimation")
        name = "dagmm, port" if port else "dagmm"
        yield name, network, tensor(case["x"]), tensor(case["dropout_keep"]), case["expected"]["loss"]


def vae_case():
    case = fixture("vae")["models"]["gaussian"]
    shape = case["shape"]
    network = Vae(shape["features"], shape["hidden"][0], shape["latent"]).double()
    set_linear(network.encoder, case["parameters"], "encoder")
    set_linear(network.decoder, case["parameters"], "decoder")
    return "vae", network, tensor(case["x"]), tensor(case["noise"]), case["expected"]["loss"]


def conv_vae_case():
    golden = fixture("conv_vae")
    values, (first, second), latent = golden["parameters"], golden["shape"]["channels"], golden["shape"]["latent"]
    network = ConvVae((first, second), latent).double()
    encoder, decoder = network.encoder, network.decoder
    for layer, name in [(encoder[0], "encoder.0"), (encoder[3], "encoder.1"), (decoder[2], "decoder.1"), (decoder[5], "decoder.2")]:
        layer.weight.copy_(tensor(values[f"{name}.weight"]))
    for layer, name in [(encoder[1], "encoder.norm.0"), (encoder[4], "encoder.norm.1"), (decoder[3], "decoder.norm.1")]:
        layer.weight.copy_(tensor(values[f"{name}.weight"]))
        layer.bias.copy_(tensor(values[f"{name}.bias"]))
    # the fixture's linear layers see pixels by row, column, channel
    heads = tensor(values["heads.weight"]).reshape(49, second, -1).transpose(0, 1).reshape(49 * second, -1)
    encoder[7].weight.copy_(heads.T)
    encoder[7].bias.copy_(tensor(values["heads.bias"]))
    widening = tensor(values["decoder.0.weight"]).reshape(latent, 49, second).transpose(1, 2).reshape(latent, -1)
    decoder[0].weight.copy_(widening.T)
    decoder[0].bias.copy_(tensor(values["decoder.0.bias"]).reshape(49, second).T.reshape(-1))
    noise = tensor(golden["noise"])
    x = tensor(golden["data"])[: len(noise)].reshape(-1, 1, 28, 28)
    return "conv-vae", network, x, noise, golden["step"]["bernoulli"]["terms"]["loss"]


def check():
    """Compares every network's loss, plain and compiled, with what seedbed's golden tests expect."""
    torch.set_default_dtype(torch.float64)
    with torch.no_grad():
        cases = [*dagmm_cases(), vae_case(), conv_vae_case()]
    for name, network, x, noise, expected in cases:
        kinds = [("", network)] if "port" in name else [("", network), (", compiled", torch.compile(network))]
        for kind, callable_network in kinds:
            value = callable_network(x, noise).item()
            error = abs(value - expected) / abs(expected)
            print(f"{name + kind:<20} loss {value:.12f}, seedbed's {expected:.12f}")
            assert error < 1e-9, f"{name}{kind}: the loss is not seedbed's"


# ---- timing ---------------------------------------------------------------------------------------


class Rows(torch.utils.data.Dataset):
    """Row by row with a label, from f64, as the ports' data sets."""

    def __init__(self, data):
        self.data, self.labels = data.double().numpy(), torch.zeros(len(data)).double().numpy()

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return numpy.float32(self.data[index]), numpy.float32(self.labels[index])


def batches_of(data, batch_size, style):
    """Shuffled batches without end."""
    if style == "port":
        loader = torch.utils.data.DataLoader(Rows(data), batch_size=batch_size, shuffle=True)
        while True:
            yield from (rows for rows, _ in loader)
    while True:
        order = torch.randperm(len(data))
        for start in range(0, len(order), batch_size):
            yield data[order[start : start + batch_size]]


def measure(model, style, steps):
    """Median seconds per step, batch and optimiser included, as seedbed's bench-step gives it."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    build, make_rows, batch_size, rate = MODELS[model]
    port = style == "port"
    network = build(port)
    # one call for all parameters; the ports take PyTorch's default
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, **({} if port else {"fused": True}))
    loss = torch.compile(network) if style == "compile" else network
    batches = batches_of(make_rows(batch_size), batch_size, style)

    def step():
        value = loss(next(batches))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        if port:
            value.item()  # for the log

    for _ in range(20):
        step()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=MODELS, nargs="?")
    parser.add_argument("style", choices=STYLES, nargs="?")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        check()
    elif arguments.style is None:
        parser.error("name a model and a style, or --check")
    else:
        seconds = measure(arguments.model, arguments.style, arguments.steps)
        print(json.dumps({"seconds_per_step": seconds}))


if __name__ == "__main__":
    main()
