"""How far a run's F1 moves when the same sums are added in another order: `make rounding`.

Reads the published runs of DAGMM from two commits of this repository and writes one line a seed that both have to
results/rounding.csv. Protocol version 2 of the model changed the order of its sums and nothing else.
"""

import csv
import io
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEFORE, AFTER = "09a8473", "aa3edc2"
CELLS = [
    ("dagmm-kddcup", "reconstruction=sum", "`sum`"),
    ("dagmm-kddcup", "reconstruction=mean", "`mean`"),
    ("danieltan07-kddcup", "base", "the port (second version)"),
]


def runs(commit, experiment):
    """(cell, seed) → F1 of the trained runs."""
    show = ["git", "show", f"{commit}:results/{experiment}/runs.csv"]
    text = subprocess.run(show, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {(row["cell"], int(row["seed"])): row["f1"] for row in csv.DictReader(io.StringIO(text))}


def main():
    with open(ROOT / "results/rounding.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["experiment", "cell", "name", "seed", "f1_before", "f1_after", "moved", "before", "after"])
        for experiment, cell, name in CELLS:
            before, after = runs(BEFORE, experiment), runs(AFTER, experiment)
            for _, seed in sorted(key for key in before.keys() & after.keys() if key[0] == cell):
                old, new = before[cell, seed], after[cell, seed]
                moved = round(abs(float(new) - float(old)), 12)
                writer.writerow([experiment, cell, name, seed, old, new, moved, BEFORE, AFTER])


if __name__ == "__main__":
    main()
