"""Writes table.parquet, which a test reads: every kind of column that a flat table of pandas has.

    python3 tests/golden/table.py        needs pandas and pyarrow
"""

import pathlib

import numpy
import pandas

frame = pandas.DataFrame(
    {
        "double": [0.5, -1e300, None, 2.0],
        "single": numpy.array([0.25, 1.5, 9.0, 2.5], dtype="float32"),
        "whole": numpy.array([-3, 4, 5, 6], dtype="int64"),
        "byte": numpy.array([255, 0, 1, 7], dtype="uint8"),
        "truth": [True, False, False, True],
        "word": pandas.Categorical(["tcp", "ü", "udp", "tcp"]),
        "when": pandas.to_datetime(["2020-01-01"] * 4),
        "label": [False, True, True, False],
    },
    index=[10, 20, 30, 40],
)
frame.to_parquet(pathlib.Path(__file__).with_name("table.parquet"))
