"""Training steps and whole protocols in seedbed and in PyTorch, side by side: `make bench-peer`.

Steps: every round measures each contender once, on one thread, in a process of its own, in rotating order; a
contender's figure is the median of its rounds, a ratio the median of the rounds' ratios. The PyTorch side is
`peer_steps.py`, which is first made to show that its losses are seedbed's.

Protocols: 20 runs with all cores, one run a core. The steps are timed once more with every core busy, in as many
processes as there are cores; 20 runs are then 20 over the cores, times epochs, times steps of an epoch, times that time
of a step, and for seedbed loading and scoring, which its processes time too. No short run is extrapolated: the difference
of two wall times, multiplied to 200 epochs, says more about the start of the two processes than about steps.

Writes results/bench.csv (or --out). Needs target/release/seedbed and its data files, and PyTorch 2.11.0, which
is installed under .libtorch/peer unless PEER_PYTHON names a Python that has it.
"""

import argparse
import csv
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDBED = ROOT / "target/release/seedbed"
STEPS = ROOT / "benches/peer_steps.py"
VERSION = "2.11.0"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# As seedbed's workers run (`src/schedule/worker.rs`): glibc gives freed tensors back to the kernel unless told otherwise.
WORKER = ONE_THREAD | {
    "MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_TOP_PAD_": "67108864",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
STYLES = [("PyTorch eager", "eager"), ("torch.compile", "compile"), ("PyTorch, ports' style", "port")]

# Title; experiment and cell of seedbed's side; timed steps; widths; epochs of the protocol.
MODELS = {
    "dagmm": ("DAGMM, KDD Cup 99, batch 1024", "dagmm-kddcup", "reconstruction=sum", 300, [1, 4], 200),
    "vae": (
        "VAE, Gaussian decoder, KDD Cup 99, batch 128", "vae-kddcup", "decoder=gaussian,score=reconstruction-probability",
        1000, [1, 4], 5,
    ),
    "conv-vae": (
        "convolutional VAE, MNIST, batch 256", "conv-vae-mnist", "anomaly-digit=0,score=reconstruction-probability",
        40, [1, 4], 50,
    ),
}
RUNS = 20


def peer_python():
    """A Python with PyTorch 2.11.0, installed on the first call."""
    if "PEER_PYTHON" in os.environ:
        return os.environ["PEER_PYTHON"]
    home = ROOT / ".libtorch/peer"
    python = home / "bin/python"
    wanted = f"import torch, numpy; raise SystemExit(torch.__version__.split('+')[0] != '{VERSION}')"
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


def output_of(command, environment):
    environment = os.environ | ONE_THREAD | environment
    result = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        print(result.stderr, file=sys.stderr)
        sys.exit(f"bench_peer: '{' '.join(map(str, command))}' ended with {result.returncode}; its message is above")
    return result.stdout


# ---- one step -------------------------------------------------------------------------------------


def contenders(model, steps, python):
    """Model, name, command, environment, seeds trained by one step."""
    _, experiment, cell, own_steps, widths, _ = MODELS[model]
    steps = str(steps or own_steps)
    peer = lambda style: [python, STEPS, model, style, "--steps", steps]
    bench = [SEEDBED, "bench-step", experiment, "--cell", cell, "--steps", steps, "--width"]
    table = [(model, f"seedbed, {width} seed{'s, each' if width > 1 else ''}", [*bench, str(width)], WORKER, width) for width in widths]
    return table + [(model, name, peer(style), {}, 1) for name, style in STYLES]


def time_steps(chosen, rounds, steps, python):
    """Model → contender → ms a step and seed, one a round."""
    table = [contender for model in chosen for contender in contenders(model, steps, python)]
    times = {model: {name: [] for owner, name, *_ in table if owner == model} for model in chosen}
    for round_number in range(rounds):
        shift = 5 * round_number % len(table)
        for model, name, command, environment, seeds in table[shift:] + table[:shift]:
            seconds = json.loads(output_of(command, environment))["seconds_per_step"]
            times[model][name].append(1e3 * seconds / seeds)
        print(f"round {round_number + 1}/{rounds}, ms a step and seed:", file=sys.stderr)
        for model in chosen:
            shown = ", ".join(f"{name} {values[-1]:.3f}" for name, values in times[model].items())
            print(f"  {model}: {shown}", file=sys.stderr)
    return times


# ---- 20 runs --------------------------------------------------------------------------------------


def answers_of(command, cores, environment):
    """What as many processes as there are cores answer that run the same command side by side."""
    environment = os.environ | ONE_THREAD | environment
    start = lambda: subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    processes = [start() for _ in range(cores)]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode != 0 for process in processes):
        sys.exit(f"bench_peer: '{' '.join(map(str, command))}' failed; run it alone to see why")
    return [json.loads(output) for output in outputs]


def mean_of(answers, field):
    return statistics.mean(answer[field] for answer in answers)


def time_protocols(chosen, rounds, steps, cores, python):
    """Model → contender → ms of a step with every core busy, and seconds of 20 runs, one a round."""
    busy, protocols = ({model: {} for model in chosen} for _ in range(2))
    for round_number in range(rounds):
        for model in chosen:
            *_, epochs = MODELS[model]
            in_epoch = None
            # seedbed's first contender comes first: its answer has the steps of an epoch
            for _, name, command, environment, seeds in contenders(model, steps, python):
                if seeds > 1:
                    continue
                answers = answers_of(command, cores, environment)
                in_epoch = in_epoch or answers[0]["steps_per_epoch"]
                a_step = mean_of(answers, "seconds_per_step")
                around = 0
                if environment is WORKER:
                    around = mean_of(answers, "load_seconds") + mean_of(answers, "scoring_seconds")
                name = "seedbed" if environment is WORKER else name
                busy[model].setdefault(name, []).append(1e3 * a_step)
                protocols[model].setdefault(name, []).append(RUNS / cores * (around + epochs * in_epoch * a_step))
            shown = ", ".join(f"{name} {values[-1]:.0f}" for name, values in protocols[model].items())
            print(f"{RUNS} runs, round {round_number + 1}/{rounds}, s: {model}: {shown}", file=sys.stderr)
    return busy, protocols


# ---- results --------------------------------------------------------------------------------------


def ratio(own, other):
    """Median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(own, other))


def report(title, times, unit):
    print(f"{title:<46}{'median ' + unit:>12}{'min':>10}{'max':>10}")
    for name, values in times.items():
        print(f"{name:<46}{statistics.median(values):>12.3f}{min(values):>10.3f}{max(values):>10.3f}")
    for own in [name for name in times if name.startswith("seedbed")]:
        ratios = [f"{ratio(times[own], times[peer]):.3f} of {peer}" for peer in times if not peer.startswith("seedbed")]
        print(f"{own}: {'; '.join(ratios)}")
    print()


def versions(python):
    doctor = json.loads(subprocess.run([SEEDBED, "doctor", "--json"], stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout or "{}")
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    of_peer = output_of([python, "-c", "import torch, platform; print(torch.__version__, platform.python_version())"], {}).split()
    own = doctor.get("versions", {})
    seedbed = f"{own.get('seedbed', '')} {own.get('commit', '')[:7]}{'+' if own.get('dirty') else ''}"
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "seedbed": seedbed, "libtorch": own.get("libtorch", ""), "torch": of_peer[0], "python": of_peer[1]}


def write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rows_of(measure, unit, times, machine):
    """One row a contender; `of_seedbed` is its figure over that of seedbed's first contender, by rounds."""
    for model, contenders_times in times.items():
        own = next(iter(contenders_times.values()))
        for name, values in contenders_times.items():
            figures = {"median": statistics.median(values), "min": min(values), "max": max(values), "of_seedbed": ratio(values, own)}
            rounded = {key: f"{value:.4g}" for key, value in figures.items()}
            yield {"measure": measure, "model": model, "contender": name, "unit": unit, "rounds": len(values)} | rounded | machine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="timed steps a round; the model's own number unless given")
    parser.add_argument("--model", choices=MODELS, action="append", help="this model only; may be repeated")
    parser.add_argument("--protocol-rounds", type=int, default=3, help="0 leaves the 20 runs out")
    parser.add_argument("--out", default=ROOT / "results/bench.csv")
    arguments = parser.parse_args()
    chosen = [model for model in MODELS if arguments.model is None or model in arguments.model]
    python = peer_python()
    print(output_of([python, STEPS, "--check"], {}), file=sys.stderr)
    machine = versions(python)

    steps = time_steps(chosen, arguments.rounds, arguments.steps, python)
    for model in chosen:
        report(f"one step: {MODELS[model][0]}", steps[model], "ms")
    rows = list(rows_of("step", "ms", steps, machine))
    if arguments.protocol_rounds:
        busy, protocols = time_protocols(chosen, arguments.protocol_rounds, arguments.steps, machine["cores"], python)
        for model in chosen:
            report(f"one step, every core busy: {MODELS[model][0]}", busy[model], "ms")
            report(f"{RUNS} runs: {MODELS[model][1]}", protocols[model], "s")
        rows += rows_of("step, every core busy", "ms", busy, machine)
        rows += rows_of(f"{RUNS} runs", "s", protocols, machine)
    write(arguments.out, rows)


if __name__ == "__main__":
    main()
