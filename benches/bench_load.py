"""Loading and encoding KDD Cup 99: this project beside pandas, interleaved, one core, medians.

    python3 benches/bench_load.py DATA_DIR [ROUNDS]        needs numpy, pandas and cargo; writes results/load.csv
    python3 benches/bench_load.py DATA_DIR --digests       the encodings' digests, made by pandas

Both read the gzip file, encode protocol_type, service and flag one-hot (118 columns), scale by
min-max over the attack rows, and end with an f32 array in C order. Only this project also checks
the sha256 of the file's bytes.
"""

import csv
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time

import numpy
import pandas

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORDS = [1, 2, 3]
SWITCHES = [6, 11, 20, 21]
CONSTANT = 19
UNSCALED = [6, 11, 13, 14, 19, 20, 21]


def encode(path, encoding="protocol-service-flag"):
    """The encoded array, f32, and whether each row is normal."""
    frame = pandas.read_csv(path, header=None, compression="gzip" if path.endswith(".gz") else None)
    normal = (frame[41] == "normal.").to_numpy()
    one_hot = WORDS if encoding == "protocol-service-flag" else WORDS + SWITCHES
    parts = [pandas.get_dummies(frame[field], dtype=float) for field in one_hot]
    dropped = [CONSTANT] if encoding == "all-but-constant" else []
    fields = [field for field in range(41) if field not in one_hot + dropped]
    numbers = frame[fields].astype(float)
    scaled = [field for field in fields if field not in UNSCALED]
    attack = numbers.loc[~normal, scaled]
    low, high = attack.min(), attack.max()
    numbers[scaled] = (numbers[scaled] - low) / (high - low)
    values = pandas.concat([*parts, numbers], axis=1).to_numpy()
    return numpy.ascontiguousarray(values, dtype=numpy.float32), normal


def digests(path):
    for encoding in ["protocol-service-flag", "all-categorical", "all-but-constant"]:
        values, normal = encode(path, encoding)
        labelled = numpy.column_stack([values, normal.astype(numpy.float32)])
        print(encoding, labelled.shape, hashlib.sha256(labelled.tobytes()).hexdigest())


def main():
    data, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    path = os.path.join(data, "kddcup.data_10_percent.gz")
    bench = ["cargo", "bench", "--quiet", "--locked", "--package", "seedbed", "--bench", "load_kddcup"]
    subprocess.run([*bench, "--no-run"], cwd=ROOT, check=True)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    ours, theirs = [], []
    for _ in range(rounds):
        out = subprocess.run([*bench, "--", os.path.abspath(data)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        ours += json.loads(out)["total_seconds"]
        start = time.perf_counter()
        values, _ = encode(path)
        theirs.append(time.perf_counter() - start)
        assert values.shape == (494021, 118)
    medians = {"seedbed": statistics.median(ours), "pandas": statistics.median(theirs)}
    with open(os.path.join(ROOT, "results", "load.csv"), "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["contender", "rounds", "seconds", "pandas"])
        writer.writerows([name, rounds, f"{seconds:.3f}", pandas.__version__] for name, seconds in medians.items())
    print(json.dumps({"rounds": rounds, "pandas_version": pandas.__version__, "seconds": medians,
                      "ratio": medians["seedbed"] / medians["pandas"]}))


if __name__ == "__main__":
    if "--digests" in sys.argv:
        digests(os.path.join(sys.argv[1], "kddcup.data_10_percent.gz"))
    else:
        main()
