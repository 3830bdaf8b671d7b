#!/usr/bin/env python3
"""Time and memory of plan, resume and tables for grids of 100, 10,000 and 100,000 runs.

Usage: bench_growth.py SEEDBED [OUT.csv]   ('seedbed fill' draws results/growth.csv)

One run of the experiment `synthetic` is trained for real; its record is copied to every other place of a
larger grid with the cell, seed, key and digests that belong there, so that seedbed finds each run stored.
What is timed is the whole process: `plan` (everything stored, then everything missing), `run` with nothing to
run and with one run missing, and `tables` without and with bootstrap intervals. Prints a table and writes a CSV file.
"""
import csv
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

SIZES = [100, 10_000, 100_000]
SEEDS = 20
ROUNDS = 3

GRID = """
name = "grid"
title = "A grid of many cells"
runs = {seeds}
[dataset]
name = "synthetic"
rows = 200
[protocol]
split = {{ kind = "half-of-all" }}
threshold = {{ top = 0.2, of = "test" }}
[model]
name = "dagmm"
hidden = [4]
latent = 1
mixtures = 2
[training]
epochs = 1
batch-size = 64
learning-rate = 3e-3
[axes]
"training.epochs" = [{epochs}]
"""


def canonical(value):
    """JSON as docs/verification.md defines it for keys and checksums."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{canonical(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return repr(value).replace("e-0", "e-")
    return json.dumps(value, ensure_ascii=False)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def key(record):
    cell = record["cell"]
    return digest(canonical({
        "control": cell.get("control"),
        "data-sha256": record["digests"]["data"],
        "dataset": cell["dataset"],
        "device": record["device_kind"],
        "model": cell["model"],
        "protocol": cell["protocol"],
        "protocol-version": record["protocol_version"],
        "seed": record["seed"],
        "training": cell["training"],
    }))


def fill(folder, template, cells):
    """A record for every run of the grid."""
    for epochs in range(1, cells + 1):
        record = json.loads(template)
        label = f"epochs={epochs}"
        record["cell"]["label"] = label
        record["cell"]["axes"] = {"training.epochs": str(epochs)}
        record["cell"]["training"]["epochs"] = epochs
        place = folder / "grid" / "runs" / label
        place.mkdir(parents=True, exist_ok=True)
        for seed in range(1, SEEDS + 1):
            record["seed"] = seed
            for name in ["split", "init", "scores"]:
                record["digests"][name] = digest(f"{name} {label} {seed}")
            record["metrics"]["f1"] = int(digest(f"{label} {seed}")[:6], 16) / 2**24
            record["key"] = key(record)
            record.pop("sha256", None)
            record["sha256"] = digest(canonical(record))
            (place / f"{seed}.json").write_text(json.dumps(record, ensure_ascii=False))


def timed(command, folder):
    """Seconds and MiB of a whole process."""
    started = time.perf_counter()
    with open(os.devnull, "wb") as nothing, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, cwd=folder, stdout=nothing, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if os.waitstatus_to_exitcode(status) != 0:
            errors.seek(0)
            sys.exit(f"{' '.join(map(str, command))}: {errors.read().decode()}")
    return seconds, usage.ru_maxrss / 1024


def main():
    seedbed = str(pathlib.Path(sys.argv[1]).resolve())
    rows = []
    for runs in SIZES:
        cells = runs // SEEDS
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "experiments").mkdir()
            epochs = ", ".join(map(str, range(1, cells + 1)))
            (folder / "experiments/grid.toml").write_text(GRID.format(seeds=SEEDS, epochs=epochs))
            one = [seedbed, "run", "grid", "--cell", "epochs=1", "--seeds", "1", "--slots", "1"]
            timed([*one, "--out", "one", "--resamples", "0"], folder)
            template = (folder / "one/grid/runs/epochs=1/1.json").read_text()
            fill(folder / "results", template, cells)
            (folder / "results/grid/runs/epochs=1/1.json").unlink()
            resume = [seedbed, "run", "grid", "--slots", "1", "--resamples", "0"]
            steps = {
                "run, one missing": timed([*resume, "--mixed-code"], folder),
            }
            for step, command in {
                "plan, all stored": [seedbed, "plan", "grid"],
                "plan, none stored": [seedbed, "plan", "grid", "--out", "none"],
                "run, none missing": resume,
                "tables": [seedbed, "tables", "grid", "--resamples", "0"],
                "tables, 10,000 resamples": [seedbed, "tables", "grid"],
            }.items():
                found = [timed(command, folder) for _ in range(ROUNDS)]
                steps[step] = [statistics.median(column) for column in zip(*found)]
            for step, (seconds, memory) in steps.items():
                rows.append([step, runs, cells, f"{seconds:.3f}", f"{memory:.0f}"])
                print(f"{step:26} {runs:>8} runs {seconds:9.3f} s {memory:8.0f} MiB", flush=True)
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["step", "runs", "cells", "seconds", "mebibytes"])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
