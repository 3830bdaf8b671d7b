"""A method for the tests, of Python alone: a row's score is the sum of its squares and a little noise of the seed.

`settings.fault` makes it do what a program may do wrong.
"""

import array
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import time

FOLDER = pathlib.Path(sys.argv[-1])
JOB = json.loads((FOLDER / "job.json").read_text())


def read(name):
    """The shape and the numbers of an array of f32."""
    raw = (FOLDER / name).read_bytes()
    length = struct.unpack("<H", raw[8:10])[0]
    header = eval(raw[10 : 10 + length].decode())  # a literal that numpy's format prescribes
    assert header["descr"] == "<f4" and not header["fortran_order"], header
    numbers = array.array("f")
    numbers.frombytes(raw[10 + length :])
    return header["shape"], numbers


def write(name, scores):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % len(scores)
    header += " " * (-(11 + len(header)) % 64) + "\n"
    raw = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + array.array("d", scores).tobytes()
    (FOLDER / name).write_bytes(raw)


def scores(name, numbers):
    (rows, features), values = read(name)
    squares = [sum(v * v for v in values[row * features : (row + 1) * features]) for row in range(rows)]
    return [square + 1e-6 * numbers.random() for square in squares]


def mark(what):
    place = pathlib.Path(JOB["settings"]["place"]) / (str(JOB["seed"]) + what)
    place.write_text(repr(time.monotonic()))


def main():
    fault = JOB["settings"].get("fault")
    expected = {"job.json", "train.npy", "test.npy"}
    assert set(os.listdir(FOLDER)) == expected == set(os.listdir(".")), os.listdir(FOLDER)
    assert set(JOB) == {"seed", "settings", "columns", "image", "threads", "device"}, JOB
    numbers = random.Random(JOB["seed"])
    train, test = scores("train.npy", numbers), scores("test.npy", numbers)
    print("progress 1/2 loss 0.5", flush=True)
    if fault == "code":
        sys.exit(3)
    if fault == "signal":
        os.kill(os.getpid(), 9)
    if fault == "hang":
        time.sleep(600)
    if fault == "stdout":
        sys.stdout.write("x" * 10_000_000)
        sys.stdout.flush()
    if fault == "stderr":
        for _ in range(64):
            sys.stderr.write("y" * 1_000_000)
        sys.stderr.write("\nlast words\n")
    if fault == "child":
        child = subprocess.Popen(["sleep", "600"])
        pathlib.Path(JOB["settings"]["pid"]).write_text(str(child.pid))
    if fault == "noise":
        test = [score + 1e-3 * random.SystemRandom().random() for score in test]
    if fault == "same":
        test = [float(row) for row in range(len(test))]
    if fault == "slow":
        mark(".begun")
        time.sleep(0.5)
        mark(".ended")
    for name in ["curve.csv", "diagnostics.json"]:
        if name in JOB["settings"]:
            (FOLDER / name).write_text(JOB["settings"][name])
    if fault == "nan":
        test[3] = float("nan")
    if fault == "short":
        test.pop()
    if fault == "text":
        (FOLDER / "scores.npy").write_text("0.1\n0.2\n")
        return
    if fault == "huge":
        test *= 1000
    if fault == "link":
        os.symlink("/dev/zero", FOLDER / "scores.npy")
        return
    if fault != "missing":
        write("scores.npy", test)
    if fault != "no-train":
        write("train_scores.npy", train)


main()
