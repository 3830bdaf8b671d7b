#!/usr/bin/env python3
"""What a training step and a worker's memory cost for jobs of 1, 2, 4, 8 and 20 seeds, and what a second worker brings.

Usage: bench_width.py SEEDBED OUT.csv OUT.svg   (data as seedbed finds them)

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


def picture(rows):
    """Cost a seed and memory by width, each against its own at one seed; wall time by workers."""
    height, left, top, panel_width, bars_width = 300, 50, 30, 245, 110
    width = 2 * (left + panel_width) + left + bars_width + 20
    floor = height - 40
    panels = [("time of a step, a seed, of that at one seed", 4), ("memory of a worker, of that at one seed", 5)]
    colours = {"DAGMM": "#0b62a4", "VAE": "#b5540c", "conv-VAE": "#2f7d32"}
    shapes = []
    text = lambda x, y, words, more="": shapes.append(f'<text x="{x:.1f}" y="{y:.1f}"{more}>{words}</text>')
    middle = ' text-anchor="middle"'

    def grid(x0, across, most, y):
        for tick in range(0, int(most) + 1, max(1, int(most) // 4)):
            shapes.append(f'<line x1="{x0}" x2="{x0 + across}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#ccc"/>')
            text(x0 - 6, y(tick) + 4, tick, ' text-anchor="end"')

    for number, (title, column) in enumerate(panels):
        x0 = left + number * (panel_width + left)
        series = {}
        for row in rows:
            if row[0] == "step":
                series.setdefault(row[1], []).append((row[2], float(row[column])))
        shares = {m: [(w, v / points[0][1]) for w, v in points] for m, points in series.items()}
        most = max(max(v for _, v in points) for points in shares.values()) * 1.1
        x = lambda w: x0 + WIDTHS.index(w) * panel_width / (len(WIDTHS) - 1)
        y = lambda v: floor - (floor - top) * v / most
        text(x0, top - 12, title)
        grid(x0, panel_width, most, y)
        for w in WIDTHS:
            text(x(w), height - 22, w, middle)
        text(x0 + panel_width / 2, height - 6, "seeds a job", middle)
        for model, points in shares.items():
            path = " ".join(f"{x(w):.1f},{y(v):.1f}" for w, v in points)
            shapes.append(f'<polyline points="{path}" fill="none" stroke="{colours[model]}" stroke-width="2"/>')
            shapes += [f'<circle cx="{x(w):.1f}" cy="{y(v):.1f}" r="3" fill="{colours[model]}"/>' for w, v in points]
        if number == 1:
            for place, model in enumerate(shares):
                text(x0 + 10, top + 16 + 15 * place, model, f' fill="{colours[model]}"')

    x0 = left + 2 * (panel_width + left)
    walls = [(row[3], float(row[4]) / 1e3) for row in rows if row[0] == "six runs"]
    most = max(seconds for _, seconds in walls) * 1.1
    y = lambda v: floor - (floor - top) * v / most
    text(x0, top - 12, "six DAGMM runs, s")
    grid(x0, bars_width, most, y)
    for place, (workers, seconds) in enumerate(walls):
        bar = x0 + 12 + place * bars_width / 2
        shapes.append(f'<rect x="{bar:.1f}" y="{y(seconds):.1f}" width="32" height="{floor - y(seconds):.1f}" fill="{colours["DAGMM"]}"/>')
        text(bar + 16, height - 22, workers, middle)
    text(x0 + bars_width / 2, height - 6, "workers", middle)
    body = "\n".join(shapes)
    name = "Time of a step and memory of a worker by seeds a job, and wall time by workers"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><title>{name}</title><rect width="{width}" height="{height}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def main():
    seedbed, table, drawing = sys.argv[1:4]
    rows = steps(seedbed) + workers(seedbed)
    with open(table, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["measure", "model", "width", "workers", "milliseconds", "mebibytes"])
        writer.writerows(rows)
    with open(drawing, "w") as file:
        file.write(picture(rows))


if __name__ == "__main__":
    main()
