"""Training steps in seedbed and in PyTorch, side by side: `make bench-peer`.

The PyTorch side is what a careful user writes: eager, vectorised, autograd and torch.optim.Adam, no
Python loop but the one over steps, batches taken from a tensor in memory (no DataLoader), no check for
NaN. Both sides have one thread. Every round measures each contender once, in a process of its own, in
rotating order; a contender's figure is the median of its rounds, a ratio the median of the rounds'
ratios.

Needs target/release/seedbed and its data files, and PyTorch 2.11.0, which is installed under
.libtorch/peer unless PEER_PYTHON names a Python that has it.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDBED = ROOT / "target/release/seedbed"
VERSION = "2.11.0"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# glibc gives freed tensors back to the kernel unless told otherwise; a knob few users know.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "67108864"}

# ---- the PyTorch steps: a network, what it minimises, and rows like the experiment's ---------------


def multilayer(widths):
    from torch import nn

    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def zeros_and_ones(batch):
    import torch

    return (torch.rand(100 * batch, 118) < 0.2).float()


def dagmm(mixture_kind):
    """Experiment dagmm-kddcup, cell reconstruction=sum."""
    import torch
    from torch import nn

    features, hidden, latent, mixtures, batch = 118, [60, 30, 10], 1, 4, 1024
    lambda_energy, lambda_covariance, epsilon = 0.1, 0.005, 1e-6
    widths = [features, *hidden, latent]
    encoder, decoder = multilayer(widths), multilayer(widths[::-1])
    estimation = nn.Sequential(
        nn.Linear(latent + 2, 10), nn.Tanh(), nn.Dropout(0.5), nn.Linear(10, mixtures), nn.Softmax(dim=1)
    )
    dimension = latent + 2
    eye = epsilon * torch.eye(dimension, dtype=mixture_kind or torch.float32)

    def loss(x):
        code = encoder(x)
        output = decoder(code)
        distance = (x - output).norm(dim=1) / x.norm(dim=1)
        cosine = torch.cosine_similarity(x, output, dim=1)
        z = torch.cat([code, distance[:, None], cosine[:, None]], dim=1)
        gamma = estimation(z)
        if mixture_kind is not None:
            z, gamma = z.to(mixture_kind), gamma.to(mixture_kind)
        weight = gamma.sum(0)
        phi = weight / len(x)
        mu = gamma.T @ z / weight[:, None]
        centred = z - mu[:, None]  # K, N, D
        covariance = (gamma.T[:, :, None] * centred).mT @ centred / weight[:, None, None] + eye
        factor = torch.linalg.cholesky(covariance)
        whitened = torch.linalg.solve_triangular(factor, centred.mT, upper=False)
        log_determinant = 2 * torch.diagonal(factor, dim1=1, dim2=2).log().sum(1)
        exponent = -0.5 * (whitened.square().sum(1) + (log_determinant + dimension * math.log(2 * math.pi))[:, None])
        energy = -torch.logsumexp(exponent + phi.log()[:, None], dim=0)
        penalty = (1 / torch.diagonal(covariance, dim1=1, dim2=2)).sum()
        reconstruction = (x - output).square().sum(1).mean()
        return reconstruction + lambda_energy * energy.mean() + lambda_covariance * penalty

    return [encoder, decoder, estimation], loss, 1e-4, zeros_and_ones(batch), batch


def draw(heads):
    """z of [mean | log-variance], and the KL divergence per row."""
    import torch

    mean, log_variance = heads.chunk(2, dim=1)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
    return z, 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def vae():
    """Experiment vae-kddcup, decoder gaussian."""
    import torch

    features, hidden, latent, batch, bound = 118, 60, 10, 128, 6.0
    encoder = multilayer([features, hidden, 2 * latent])
    decoder = multilayer([latent, hidden, 2 * features])

    def loss(x):
        z, divergence = draw(encoder(x))
        mean, raw = decoder(z).chunk(2, dim=1)
        log_variance = bound * torch.tanh(raw / bound)
        square = (x - mean).square() * torch.exp(-log_variance)
        error = 0.5 * (math.log(2 * math.pi) + log_variance + square).sum(1)
        return (error + divergence).mean()

    return [encoder, decoder], loss, 1e-3, zeros_and_ones(batch), batch


def conv_vae():
    """Experiment conv-vae-mnist, any digit."""
    import torch
    from torch import nn
    from torch.nn import functional

    latent, batch = 100, 256
    encoder = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 2 * latent),
    )
    decoder = nn.Sequential(
        nn.Linear(latent, 32 * 7 * 7), nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1, bias=False),
    )
    for layer in [*encoder, *decoder]:
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(layer.weight)

    def loss(x):
        z, divergence = draw(encoder(x))
        error = functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum") / len(x)
        return error + divergence.mean()

    # about a fifth of MNIST's pixels are not black
    data = (torch.rand(40 * batch, 1, 28, 28) - 0.8).clamp(min=0) * 5
    return [encoder, decoder], loss, 1e-4, data, batch


def measure(peer, steps):
    """Median seconds per step, as seedbed's bench-step gives it."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(1)
    build = {"dagmm-f64": lambda: dagmm(torch.float64), "dagmm-f32": lambda: dagmm(None), "vae": vae, "conv-vae": conv_vae}
    networks, loss, rate, data, batch_size = build[peer]()
    optimiser = torch.optim.Adam(nn.ModuleList(networks).parameters(), lr=rate)

    def step(x):
        value = loss(x)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    order = torch.randperm(len(data))
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    for batch in batches[:20]:
        step(data[batch])
    seconds = []
    for i in range(steps):
        start = time.perf_counter()
        step(data[batches[i % len(batches)]])
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


# ---- contenders -----------------------------------------------------------------------------------

# Title; experiment and cell of seedbed's side; timed steps; PyTorch's sides: name, what to measure, environment.
MODELS = {
    "dagmm": (
        "DAGMM, batch 1024", "dagmm-kddcup", "reconstruction=sum", 200,
        [("f64 mixture", "dagmm-f64", {}), ("all f32", "dagmm-f32", {}), ("f64 mixture, malloc keeps", "dagmm-f64", KEEP_MEMORY)],
    ),
    "vae": (
        "VAE, Gaussian decoder, batch 128", "vae-kddcup", "decoder=gaussian,score=reconstruction-probability", 1000,
        [("eager", "vae", {}), ("eager, malloc keeps", "vae", KEEP_MEMORY)],
    ),
    "conv-vae": (
        "convolutional VAE, batch 256", "conv-vae-mnist", "anomaly-digit=0,score=reconstruction-probability", 50,
        [("eager", "conv-vae", {}), ("eager, malloc keeps", "conv-vae", KEEP_MEMORY)],
    ),
}


def contenders(model, steps):
    """Model, name, command, environment, seeds trained by one step."""
    _, experiment, cell, own_steps, peers = MODELS[model]
    steps = str(steps or own_steps)
    torch = [peer_python(), __file__, "--steps", steps, "--measure"]
    bench = [SEEDBED, "bench-step", experiment, "--cell", cell, "--steps", steps, "--width"]
    table = [(model, f"PyTorch, {name}", [*torch, peer], environment, 1) for name, peer, environment in peers]
    table += [(model, "seedbed, 1 seed", [*bench, "1"], {}, 1), (model, "seedbed, 4 seeds, each", [*bench, "4"], {}, 4)]
    return table


def peer_python():
    """A Python with PyTorch 2.11.0, installed on the first call."""
    if "PEER_PYTHON" in os.environ:
        return os.environ["PEER_PYTHON"]
    home = ROOT / ".libtorch/peer"
    python = home / "bin/python"
    wanted = f"import torch; raise SystemExit(torch.__version__.split('+')[0] != '{VERSION}')"
    if python.exists() and subprocess.run([python, "-c", wanted]).returncode == 0:
        return str(python)
    print(f"installing PyTorch {VERSION} into {home}: 200 MB from download.pytorch.org,", file=sys.stderr)
    print("or, where that cannot be reached, 2.5 GB with its CUDA libraries from PyPI", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    small = ["--retries", "0", "--timeout", "10", "--index-url", "https://download.pytorch.org/whl/cpu"]
    if subprocess.run([*pip, *small, f"torch=={VERSION}", "numpy"]).returncode != 0:
        print("download.pytorch.org did not answer; installing from PyPI", file=sys.stderr)
        subprocess.run([*pip, f"torch=={VERSION}", "numpy"], check=True)
    return str(python)


# ---- rounds ---------------------------------------------------------------------------------------


def seconds_per_step(command, environment):
    result = subprocess.run(
        command, env=os.environ | ONE_THREAD | environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if result.returncode != 0:
        sys.exit(f"bench_peer: '{' '.join(map(str, command))}' ended with {result.returncode}; its message is above")
    return json.loads(result.stdout)["seconds_per_step"]


def report(model, times):
    """`times`: name → ms a step and seed, one a round."""
    print(f"{MODELS[model][0]:<38}{'median ms':>10}{'min':>9}{'max':>9}")
    for name, values in times.items():
        print(f"{name:<38}{statistics.median(values):>10.3f}{min(values):>9.3f}{max(values):>9.3f}")
    for peer in [name for name in times if name.startswith("PyTorch")]:
        for own in [name for name in times if name.startswith("seedbed")]:
            ratio = statistics.median(a / b for a, b in zip(times[own], times[peer]))
            print(f"{own} / {peer}: {ratio:.3f}")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, help="timed steps a round; the model's own number unless given")
    parser.add_argument("--model", choices=MODELS, action="append", help="this model only; may be repeated")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps({"seconds_per_step": measure(arguments.measure, arguments.steps)}))
        return

    chosen = [model for model in MODELS if arguments.model is None or model in arguments.model]
    table = [contender for model in chosen for contender in contenders(model, arguments.steps)]
    times = {model: {name: [] for owner, name, *_ in table if owner == model} for model in chosen}
    for round_number in range(arguments.rounds):
        shift = round_number % len(table)
        for model, name, command, environment, seeds in table[shift:] + table[:shift]:
            times[model][name].append(1e3 * seconds_per_step(command, environment) / seeds)
        print(f"round {round_number + 1}/{arguments.rounds}, ms a step and seed:", file=sys.stderr)
        for model in chosen:
            shown = ", ".join(f"{name} {values[-1]:.3f}" for name, values in times[model].items())
            print(f"  {model}: {shown}", file=sys.stderr)
    for model in chosen:
        report(model, times[model])


if __name__ == "__main__":
    main()
