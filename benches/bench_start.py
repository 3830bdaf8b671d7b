#!/usr/bin/env python3
"""How long a worker takes from the start of its process to its first finished training step.

Usage: bench_start.py SEEDBED OUT.csv   (data as seedbed finds them)

The worker is the one that `seedbed run` starts, with one seed of dagmm-kddcup: it links libtorch, reads KDD Cup 99,
checks its digest, splits, scales and encodes it, and takes a step. `load` is the part from the job's arrival to the
step; the rest is the start of the process and the step itself. Writes median, least and most of ROUNDS, and the
machine's load before them.
"""
import csv
import json
import os
import statistics
import subprocess
import sys

ROUNDS = 7


def main():
    seedbed, table = sys.argv[1:3]
    command = [seedbed, "bench-step", "dagmm-kddcup", "--cell", "reconstruction=sum", "--steps", "1"]
    load = os.getloadavg()[0]
    found = [json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) for _ in range(ROUNDS)]
    parts = {
        "worker start to first step": [answer["first_step_seconds"] for answer in found],
        "of it: load, split, encode": [answer["load_seconds"] for answer in found],
    }
    with open(table, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["part", "unit", "rounds", "median", "min", "max", "load_average"])
        for part, seconds in parts.items():
            figures = [f"{figure:.3f}" for figure in (statistics.median(seconds), min(seconds), max(seconds))]
            writer.writerow([part, "s", ROUNDS, *figures, f"{load:.2f}"])
            print(f"{part:28} {figures[0]} s ({figures[1]} to {figures[2]})")
    print(f"load average before: {load:.2f}")


if __name__ == "__main__":
    main()
