#!/usr/bin/env python3
"""Everything that is measured on a GPU, in one go: `make bench-gpu` writes results/bench-gpu.csv in about ten minutes.

(a) The cost of a training step of one seed and of twenty in one job, their ratio, and how busy the card is meanwhile.
(b) Whether the same runs made twice have the same bits, and how far a run in a job of twenty is from the run alone.
(c) The seconds of 20 whole runs of a protocol, in seedbed and in PyTorch on the same card, one run after another.

Whole protocols are extrapolated, and rows say from how many epochs: seedbed's from the wall time of `seedbed run`
(starting, loading, scoring and records included) and the cost of a step, PyTorch's from the cost of a step alone,
with TF32 off as in seedbed, data on the card and a fused Adam. PyTorch 2.11.0 is the one of PEER_PYTHON, of the Python that
runs this, or is installed below .libtorch/ (2.5 GB).

`--dry` takes a made-up experiment and a few steps in place of all models: with `--device cpu` it exercises this program, and
its figures mean nothing. Ends with 1 when (b) does not hold, and where there is no card.
"""
import argparse
import csv
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDBED = pathlib.Path(os.environ.get("SEEDBED", ROOT / "target/release/seedbed"))
VERSION = "2.11.0"
RUNS = 20
BOTH = [1, RUNS]
# Experiment → cell; widths and steps to time, of some seconds together; at most so much a step of all seeds against that
# of one; epochs to run of the protocol, none to leave it out; PyTorch's model in peer_steps.py.
MODELS = {
    "dagmm-kddcup": ("reconstruction=sum", BOTH, 1000, 1.5, 3, "dagmm"),
    "vae-kddcup": ("decoder=gaussian,score=reconstruction-error", BOTH, 2000, 1.5, 2, "vae"),
    "conv-vae-notebook-mnist": ("anomaly-digit=0", BOTH, 400, 4, None, None),
    "conv-vae-mnist": ("anomaly-digit=0,score=reconstruction-error", [RUNS], 400, None, 2, "conv-vae"),
}
DRY = {"synthetic": ("base", BOTH, 4, 1.5, 2, "dagmm")}
ROUNDS = 3
# As tests/training/protocol.rs and docs/verification.md have it: of a loss's size, and of a metric.
LOSS_TOLERANCE, METRIC_TOLERANCE = 1e-5, 0.005
METRICS = ["precision", "recall", "f1", "auroc", "auprc"]
STYLES = {"eager": "PyTorch eager", "compile": "torch.compile"}


def output_of(command):
    result = subprocess.run(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"{result.stderr}\nbench_gpu: '{' '.join(map(str, command))}' ended with {result.returncode}")
    return result.stdout


def row(measure, model, contender, value, unit, target=None, note=""):
    holds = "" if target is None else "yes" if (value >= target if unit == "runs" else value <= target) else "no"
    shown = "" if value is None else f"{value:.4g}"
    print(f"  {measure}, {model}, {contender}: {shown} {unit} {'' if target is None else f'(target {target}: {holds})'}", flush=True)
    return {"measure": measure, "model": model, "contender": contender, "value": shown, "unit": unit,
            "target": "" if target is None else target, "holds": holds, "note": note}


# ---- (a) steps ------------------------------------------------------------------------------------


def steps(models, device):
    """Rows, and each model's seconds a step of all seeds and steps in an epoch."""
    found = {name: {width: [] for width in widths} for name, (_, widths, *_) in models.items()}
    for _ in range(ROUNDS):
        for name, (cell, _, count, *_) in models.items():
            for width, answers in found[name].items():
                command = [SEEDBED, "bench-step", name, "--cell", cell, "--width", width, "--steps", count, "--device", device]
                answers.append(json.loads(output_of(command)))
    rows, costs = [], {}
    for name, (_, widths, count, target, *_) in models.items():
        seconds = {width: [answer["seconds_per_step"] for answer in answers] for width, answers in found[name].items()}
        note = f"median of {ROUNDS} rounds of {count} steps"
        for width, answers in found[name].items():
            contender = f"seedbed, {width} seed{'s' if width > 1 else ''}"
            rows.append(row("step", name, contender, 1e3 * statistics.median(seconds[width]), "ms", note=note))
            busy = [answer["utilisation"] for answer in answers if answer.get("utilisation") is not None]
            if busy:
                rows.append(row("card busy", name, contender, statistics.median(busy), "%", note="NVML, end of the steps"))
            start = statistics.median(answer["first_step_seconds"] for answer in answers)
            rows.append(row("worker start to first step", name, contender, start, "s"))
        if 1 in widths:
            ratio = statistics.median(many / one for many, one in zip(seconds[RUNS], seconds[1]))
            rows.append(row(f"step of {RUNS} seeds over that of 1", name, "seedbed", ratio, "times", target, note))
        costs[name] = statistics.median(seconds[RUNS]), found[name][RUNS][0]["steps_per_epoch"]
    return rows, costs


# ---- (b) and (c): whole runs ----------------------------------------------------------------------


def alone(experiment, folder):
    """The experiment without published figures and untrained control, and its number of epochs."""
    text = (ROOT / f"experiments/{experiment}.toml").read_text()
    path = pathlib.Path(folder, f"{experiment}.toml")
    bare = re.sub(r"^compare = (\{[^\n]*\}|\[.*?^\])\n", "", text, flags=re.M | re.S)
    path.write_text(bare.replace("untrained = true", "untrained = false"))
    return path, int(re.search(r"^epochs\s*=\s*(\d+)", text, re.M).group(1))


def train(experiment, cell, device, epochs, seeds, width):
    """Seed → record, the seconds of `seedbed run`, and the protocol's epochs."""
    with tempfile.TemporaryDirectory() as out:
        path, of_protocol = alone(experiment, out)
        command = [SEEDBED, "run", path, "--cell", cell, "--device", device, "--slots", 1, "--width", width, "--seeds", seeds]
        start = time.perf_counter()
        output_of([*command, "--set", f"training.epochs={epochs}", "--resamples", 0, "--out", out])
        seconds = time.perf_counter() - start
        records = [json.loads(path.read_text()) for path in pathlib.Path(out).glob("*/runs/*/*.json")]
    return {record["seed"]: record for record in records}, seconds, of_protocol


def distances(one, other):
    """The largest of the losses, by their size, and of the metrics of two records."""
    losses = zip(sum(one["loss_curve"], []), sum(other["loss_curve"], []))
    metrics = [(one["metrics"][metric], other["metrics"][metric]) for metric in METRICS]
    return max(abs(a - b) / max(abs(a), 1) for a, b in losses), max(abs(a - b) for a, b in metrics)


def bits(record):
    return record["state"], record["digests"], record["loss_curve"]


def whole_runs(models, device, costs):
    rows = []
    for name, (cell, _, _, _, epochs, _) in models.items():
        if epochs is None:
            continue
        first, seconds, of_protocol = train(name, cell, device, epochs, f"1-{RUNS}", RUNS)
        again, *_ = train(name, cell, device, epochs, f"1-{RUNS}", RUNS)
        single, *_ = train(name, cell, device, epochs, f"1,{RUNS}", 1)
        same = sum(bits(first[seed]) == bits(again[seed]) for seed in first)
        note = f"{epochs} epochs"
        rows.append(row("same bits when run twice", name, "seedbed", same, "runs", RUNS, note))
        gaps = [distances(record, first[seed]) for seed, record in single.items()]
        for what, gap, tolerance in zip(["losses", "metrics"], map(max, zip(*gaps)), [LOSS_TOLERANCE, METRIC_TOLERANCE]):
            rows.append(row(f"{what} in a job of {RUNS} and alone", name, "seedbed", gap, "distance", tolerance, note))
        per_step, in_epoch = costs[name]
        total = seconds + (of_protocol - epochs) * in_epoch * per_step
        note = f"extrapolated from a run of {epochs} of {of_protocol} epochs; with loading, scoring and records"
        rows.append(row(f"{RUNS} runs", name, "seedbed", total, "s", note=note))
        card = first[1]["provenance"].get("card")
        print(f"  {name} was made on: {json.dumps(card)}", flush=True)
    return rows


# ---- (c) PyTorch ----------------------------------------------------------------------------------


def peer_python(device):
    """A Python with PyTorch 2.11.0 that can use the device, installed where there is none."""
    home = ROOT / ".libtorch/peer-gpu"
    wanted = (f"import numpy, torch; raise SystemExit(torch.__version__.split('+')[0] != '{VERSION}'"
              f" or not ('{device}' == 'cpu' or torch.cuda.is_available()))")
    for python in [os.environ.get("PEER_PYTHON"), sys.executable, home / "bin/python"]:
        if python and pathlib.Path(python).exists() and subprocess.run([python, "-c", wanted], stderr=subprocess.DEVNULL).returncode == 0:
            return str(python)
    print(f"installing PyTorch {VERSION} into {home}: 2.5 GB from PyPI", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
    pip = [home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"torch=={VERSION}", "numpy"], check=True)
    return str(home / "bin/python")


def peer_seconds(model, style, device, count):
    """Seconds of a step of a model of peer_steps.py on a device; for the Python that has PyTorch."""
    import peer_steps
    import torch

    torch.manual_seed(1)
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(1)
    build, make_rows, batch_size, rate = peer_steps.MODELS[model]
    network = build(False).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    loss = torch.compile(network) if style == "compile" else network
    data = make_rows(batch_size).to(device)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def batches():
        while True:
            order = torch.randperm(len(data), device=device)
            yield from (data[order[start : start + batch_size]] for start in range(0, len(order), batch_size))

    def go(batches, count):
        for _, batch in zip(range(count), batches):
            value = loss(batch)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
        wait()

    batches = batches()
    go(batches, 20)
    start = time.perf_counter()
    go(batches, count)
    return (time.perf_counter() - start) / count


def peers(models, device, costs, python):
    rows = []
    for name, (_, _, count, _, _, peer) in models.items():
        if peer is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            _, of_protocol = alone(name, folder)
        for style, contender in STYLES.items():
            seconds = float(output_of([python, __file__, "--peer", peer, style, device.split(":")[0], count]))
            rows.append(row("step", name, contender, 1e3 * seconds, "ms", note=f"mean of {count} steps"))
            note = f"extrapolated from {count} steps; training alone, one run after another"
            rows.append(row(f"{RUNS} runs", name, contender, RUNS * of_protocol * costs[name][1] * seconds, "s", note=note))
    return rows


# ---- all ------------------------------------------------------------------------------------------


def machine(device, python):
    doctor = json.loads(output_of([SEEDBED, "doctor", "--json"]))
    kinds = [found for found in doctor["devices"] if found["name"].startswith(device)]
    if not kinds:
        sys.exit(f"bench_gpu: no device '{device}' here, so there is nothing to measure; run this on a machine with an NVIDIA card "
                 "and its driver ('seedbed doctor' says what is missing), or '--dry --device cpu' to try the program itself")
    own = doctor["versions"]
    torch = output_of([python, "-c", "import torch; print(torch.__version__)"]).strip() if python else ""
    commit = f"{own['seedbed']} {own['commit'][:7]}{'+' if own['dirty'] else ''}"
    return {"device": kinds[0]["model"], "cores": len(os.sched_getaffinity(0)), "seedbed": commit, "libtorch": own["libtorch"], "torch": torch}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="as seedbed's; cuda is the first card")
    parser.add_argument("--dry", action="store_true", help="a made-up experiment and a few steps")
    parser.add_argument("--without-pytorch", action="store_true")
    parser.add_argument("--out", default=ROOT / "results/bench-gpu.csv")
    parser.add_argument("--peer", nargs=4, metavar=("MODEL", "STYLE", "DEVICE", "STEPS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        model, style, device, count = arguments.peer
        print(peer_seconds(model, style, device, int(count)))
        return
    started = time.perf_counter()
    device = "cuda:0" if arguments.device == "cuda" else arguments.device
    machine(device, None)
    python = None if arguments.without_pytorch else peer_python(device)
    models = DRY if arguments.dry else MODELS
    rows, costs = steps(models, device)
    rows += whole_runs(models, device, costs)
    rows += peers(models, device, costs, python) if python else []
    here = machine(device, python)
    with open(arguments.out, "w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], *here], lineterminator="\n")
        writer.writeheader()
        writer.writerows(found | here for found in rows)
    print(f"{arguments.out}: {len(rows)} rows in {time.perf_counter() - started:.0f} s")
    equal = [found for found in rows if found["unit"] in ["runs", "distance"]]
    if any(found["holds"] == "no" for found in equal):
        sys.exit("bench_gpu: runs are not as equal as they should be, see above")


if __name__ == "__main__":
    main()
