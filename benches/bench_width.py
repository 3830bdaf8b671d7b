#!/usr/bin/env python3
"""What a training step and a worker's memory cost for jobs of 1, 2, 4, 8 and 20 seeds, and what a second worker brings.

Usage: bench_width.py SEEDBED OUT.csv   (data as seedbed finds them; 'seedbed fill' draws results/width.csv)

Each round measures every width once, in turn; what is shown is the median of the rounds, per seed. Memory is the
largest resident set of the worker. Workers: wall time of six runs of few epochs by 1 and by 2 workers.
"""
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from bench_peer import WORKER

WIDTHS = [1, 2, 4, 8, 20]
MODELS = {
    "DAGMM": ("dagmm-kddcup", "reconstruction=sum", 40, WIDTHS),
    "VAE": ("vae-kddcup", "decoder=gaussian,score=reconstruction-error", 100, WIDTHS),
    "conv-VAE": ("conv-vae-mnist", "anomaly-digit=0,score=reconstruction-error", 10, WIDTHS),
}
ROUNDS = 3


def run(command):
    """Standard output, seconds, and MiB of the largest process below a command."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, env=os.environ | WORKER, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if os.waitstatus_to_exitcode(status) != 0:
            sys.exit(f"{' '.join(command)} failed")
        out.seek(0)
        return out.read(), seconds, usage.ru_maxrss / 1024


def steps(seedbed):
    rows = []
    for model, (experiment, cell, count, widths) in MODELS.items():
        found = {width: [] for width in widths}
        for _ in range(ROUNDS):
            for width in widths:
                command = [seedbed, "bench-step", experiment, "--cell", cell]
                answer, _, memory = run([*command, "--width", str(width), "--steps", str(count)])
                found[width].append((json.loads(answer)["seconds_per_step"] / width, memory))
        for width, measured in found.items():
            seconds, memory = map(statistics.median, zip(*measured))
            rows.append(["step", model, width, 1, f"{seconds * 1e3:.3f}", f"{memory:.0f}"])
            print(f"{model:9} {width:3} seeds {seconds * 1e3:8.2f} ms a seed {memory:7.0f} MiB", flush=True)
    return rows


def workers(seedbed):
    """Pairs of walls, one after the other."""
    found = {1: [], 2: []}
    for _ in range(ROUNDS):
        for count, walls in found.items():
            with tempfile.TemporaryDirectory() as out:
                command = [seedbed, "run", "dagmm-kddcup", "--cell", "reconstruction=sum", "--runs", "6"]
                options = ["--set", "training.epochs=4", "--device", "cpu", "--resamples", "0"]
                _, wall, _ = run([*command, *options, "--slots", str(count), "--out", out])
                walls.append(wall)
    for count, walls in found.items():
        print(f"DAGMM, 6 runs of 4 epochs and their controls: {count} worker(s) {statistics.median(walls):.1f} s", flush=True)
    return [["six runs", "DAGMM", 1, count, f"{statistics.median(w) * 1e3:.0f}", ""] for count, w in found.items()]


def main():
    seedbed, table = sys.argv[1:3]
    rows = steps(seedbed) + workers(seedbed)
    with open(table, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["measure", "model", "width", "workers", "milliseconds", "mebibytes"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
