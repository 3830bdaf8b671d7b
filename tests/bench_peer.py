"""One DAGMM training step in seedbed and in PyTorch, side by side: `make bench-peer`.

The PyTorch side is what a careful user writes: eager, vectorised over the mixture, no Python loop
but the one over steps, batches taken from a tensor in memory (no DataLoader), no check for NaN. Both
sides have one thread. Every round measures each contender once, in a process of its own, in rotating
order; a contender's figure is the median of its rounds, a ratio the median of the rounds' ratios.

Needs target/release/seedbed and its KDD Cup 99 file, and PyTorch 2.11.0, which is installed under
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

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDBED = ROOT / "target/release/seedbed"
VERSION = "2.11.0"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# glibc gives freed tensors back to the kernel unless told otherwise; a knob few users know.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "67108864"}

# ---- the PyTorch step -----------------------------------------------------------------------------

FEATURES, HIDDEN, LATENT, MIXTURES, BATCH = 118, [60, 30, 10], 1, 4, 1024
LAMBDA_ENERGY, LAMBDA_COVARIANCE, EPSILON = 0.1, 0.005, 1e-6


def measure(steps, mixture_kind):
    """Seconds per step of the same network, loss and optimiser as experiment dagmm-kddcup, cell sum."""
    import time

    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(1)

    def multilayer(widths):
        layers = []
        for a, b in zip(widths, widths[1:]):
            layers += [nn.Linear(a, b), nn.Tanh()]
        return nn.Sequential(*layers[:-1])

    widths = [FEATURES, *HIDDEN, LATENT]
    encoder, decoder = multilayer(widths), multilayer(widths[::-1])
    estimation = nn.Sequential(
        nn.Linear(LATENT + 2, 10), nn.Tanh(), nn.Dropout(0.5), nn.Linear(10, MIXTURES), nn.Softmax(dim=1)
    )
    network = nn.ModuleList([encoder, decoder, estimation])
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    dimension = LATENT + 2
    eye = EPSILON * torch.eye(dimension, dtype=mixture_kind or torch.float32)

    def step(x):
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
        loss = reconstruction + LAMBDA_ENERGY * energy.mean() + LAMBDA_COVARIANCE * penalty
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    data = (torch.rand(100 * BATCH, FEATURES) < 0.2).float()
    order = torch.randperm(len(data))
    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    for batch in batches[:20]:
        step(data[batch])
    seconds = []
    for i in range(steps):
        start = time.perf_counter()
        step(data[batches[i % len(batches)]])
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)  # as seedbed does


# ---- rounds ---------------------------------------------------------------------------------------


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


def seconds_per_step(command, environment):
    result = subprocess.run(
        command, env=os.environ | ONE_THREAD | environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if result.returncode != 0:
        sys.exit(f"bench_peer: '{' '.join(map(str, command))}' ended with {result.returncode}; its message is above")
    return json.loads(result.stdout)["seconds_per_step"]


def contenders(steps):
    """Name, command, environment, seeds trained by one step."""
    torch = [peer_python(), __file__, "--steps", str(steps), "--measure"]
    bench = [SEEDBED, "bench-step", "dagmm-kddcup", "--cell", "reconstruction=sum", "--steps", str(steps), "--width"]
    return [
        ("PyTorch, f64 mixture", [*torch, "f64"], {}, 1),
        ("PyTorch, all f32", [*torch, "f32"], {}, 1),
        ("PyTorch, f64 mixture, malloc keeps", [*torch, "f64"], KEEP_MEMORY, 1),
        ("seedbed, 1 seed", [*bench, "1"], {}, 1),
        ("seedbed, 4 seeds, each", [*bench, "4"], {}, 4),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--measure", choices=["f32", "f64"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        import torch

        kind = torch.float64 if arguments.measure == "f64" else None
        print(json.dumps({"seconds_per_step": measure(arguments.steps, kind)}))
        return

    table = contenders(arguments.steps)
    times = {name: [] for name, *_ in table}
    for round_number in range(arguments.rounds):
        shift = round_number % len(table)
        for name, command, environment, seeds in table[shift:] + table[:shift]:
            times[name].append(1e3 * seconds_per_step(command, environment) / seeds)
        shown = ", ".join(f"{name} {values[-1]:.3f}" for name, values in times.items())
        print(f"round {round_number + 1}/{arguments.rounds}, ms a step: {shown}", file=sys.stderr)

    print(f"{'one step of one seed, batch 1024':<38}{'median ms':>10}{'min':>9}{'max':>9}")
    for name, values in times.items():
        print(f"{name:<38}{statistics.median(values):>10.3f}{min(values):>9.3f}{max(values):>9.3f}")
    print()
    for peer in [name for name in times if name.startswith("PyTorch")]:
        for own in [name for name in times if name.startswith("seedbed")]:
            ratio = statistics.median(a / b for a, b in zip(times[own], times[peer]))
            print(f"{own} / {peer}: {ratio:.3f}")


if __name__ == "__main__":
    main()
