"""Sets the loss curves of a search beside those that the MNIST notebook prints, and writes how far each is.

    python3 tests/loss_curves.py DIGIT RESULTS [...]

reads RESULTS/losses.csv (the mean loss of each epoch; of several seeds the median) and
experiments/papers/mnist-vae-notebook-losses.csv, and writes loss-distances-digit-DIGIT.csv beside the first RESULTS:
for each cell of all of them the root mean square, over the printed epochs, of the logarithm of ours over the printed loss,
and the factor that it stands for. A cell with fewer epochs than are printed has no distance. Needs Python alone.
"""

import csv
import math
import pathlib
import sys

PRINTED = pathlib.Path(__file__).parent.parent / "experiments/papers/mnist-vae-notebook-losses.csv"


def printed(digit):
    with PRINTED.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["digit"] == digit]
    if not rows:
        sys.exit(f"{PRINTED} has no losses of digit {digit}")
    return [float(row["loss"]) for row in sorted(rows, key=lambda row: int(row["epoch"]))]


def curves(path):
    """The losses of each cell, trained ones only, by epoch."""
    cells = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["term"] == "loss" and row["scale"] == "full":
                cells.setdefault(row["cell"], {})[int(row["epoch"])] = float(row["median"])
    return cells


def distance(ours, theirs):
    logs = [math.log(ours[epoch] / loss) for epoch, loss in enumerate(theirs, 1)]
    return math.sqrt(sum(log * log for log in logs) / len(logs))


def main(digit, folders):
    theirs = printed(digit)
    epochs = range(1, len(theirs) + 1)
    rows = []
    for folder in map(pathlib.Path, folders):
        for cell, ours in curves(folder / "losses.csv").items():
            # the search trains digit 0 alone and says no digit
            other = f"anomaly-digit={1 - int(digit)}" in cell or (digit == "1" and "anomaly-digit" not in cell)
            if other or len(ours) < len(theirs):
                continue
            gap = distance(ours, theirs)
            losses = [f"{ours[epoch]:.6g}" for epoch in epochs]
            rows.append([folder.name, cell, digit, f"{gap:.6f}", f"{math.exp(gap):.6f}", *losses])
    if not rows:
        sys.exit(f"no cell of {', '.join(folders)} has {len(theirs)} epochs of digit {digit}")
    rows.sort(key=lambda row: float(row[3]))
    table = pathlib.Path(folders[0]).parent / f"loss-distances-digit-{digit}.csv"
    with table.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["experiment", "cell", "digit", "distance", "factor", *(f"loss_{epoch}" for epoch in epochs)])
        out.writerows(rows)
    for row in rows[:5]:
        print(f"{row[0]}, {row[1]}: {row[3]} (a factor of {row[4]}): {' '.join(row[5:])}")


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("0", "1"):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
