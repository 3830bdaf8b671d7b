"""Writes factorial.json beside this file: what statsmodels says about effects in a made-up factorial of readings,
by least squares with an intercept a seed and covariances that are robust to clusters of seeds; Shapley values by
going through all orders; and bounds of a group-sequential test by integrating the multivariate normal distribution.

Run: python tests/golden/factorial.py   (numpy, scipy, statsmodels; their versions are kept in the file)."""

import itertools
import json
import math
import pathlib

import numpy as np
import scipy
import statsmodels
import statsmodels.api as sm
from scipy import optimize, stats

HERE = pathlib.Path(__file__).parent
VERSIONS = {"numpy": np.__version__, "scipy": scipy.__version__, "statsmodels": statsmodels.__version__}
SEEDS = 5


def coded(level, size):
    """Columns of a factor whose levels sum to 0, the first of which the others are measured from."""
    return [-1.0] * (size - 1) if level == 0 else [float(level == column + 1) for column in range(size - 1)]


def columns(levels, sizes):
    """The model's columns at a cell; a level of None is averaged over."""
    parts = [[0.0] * (size - 1) if level is None else coded(level, size) for level, size in zip(levels, sizes)]
    row = [1.0] + [value for part in parts for value in part]
    for a, b in itertools.combinations(parts, 2):
        row += [x * y for x in a for y in b]
    return np.array(row)


def design(sizes, fraction):
    cells = [list(cell) for cell in itertools.product(*map(range, sizes))]
    return [cell for cell in cells if not fraction or sum(cell[:fraction]) % 2 == 0]


def effects(rng, sizes, fraction):
    cells = design(sizes, fraction)
    values = 0.87 + 0.05 * rng.normal(size=(SEEDS, len(cells))) + 0.03 * rng.normal(size=(SEEDS, 1))
    for place, cell in enumerate(cells):
        values[:, place] += 0.06 * cell[0] - 0.02 * cell[1] * cell[2]
    rows = np.array([columns(cell, sizes) for cell in cells])
    # an intercept a seed in place of one for all
    matrix = np.vstack([np.hstack([np.eye(SEEDS)[[seed] * len(cells)], rows[:, 1:]]) for seed in range(SEEDS)])
    clusters = np.repeat(np.arange(SEEDS), len(cells))
    fitted = sm.OLS(values.ravel(), matrix).fit(cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False})
    # without the correction of statsmodels; of G clusters a mean has the variance s² / G, with G − 1 in s²
    covariance = fitted.cov_params() * SEEDS / (SEEDS - 1)
    terms = []

    def term(contrast, factors, levels):
        vector = np.concatenate([np.zeros(SEEDS), contrast[1:]])
        estimate, error = vector @ fitted.params, math.sqrt(vector @ covariance @ vector)
        reach = stats.t.ppf(0.975, SEEDS - 1) * error
        terms.append({"factors": factors, "levels": levels, "estimate": estimate, "low": estimate - reach, "high": estimate + reach})

    at = lambda **given: columns([given.get(f"f{factor}") for factor in range(len(sizes))], sizes)
    for factor, size in enumerate(sizes):
        for level in range(1, size):
            term(at(**{f"f{factor}": level}) - at(**{f"f{factor}": 0}), [factor], [level])
    for a, b in itertools.combinations(range(len(sizes)), 2):
        for i, j in itertools.product(range(1, sizes[a]), range(1, sizes[b])):
            pair = lambda x, y: at(**{f"f{a}": x, f"f{b}": y})
            term((pair(i, j) - pair(0, j) - pair(i, 0) + pair(0, 0)) / 2, [a, b], [i, j])
    return {"sizes": sizes, "cells": cells, "values": values.tolist(), "terms": terms}


def shapley(rng, players):
    values = rng.normal(size=2**players)
    shares = np.zeros(players)
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        known = 0
        for player in order:
            shares[player] += (values[known | 1 << player] - values[known]) / len(orders)
            known |= 1 << player
    return {"values": values.tolist(), "shares": shares.tolist()}


def bounds(looks):
    """Of Pocock's spending function at 5 %, look by look, by the distribution function of all statistics together."""
    shares = np.array(looks) / looks[-1]
    spent = 0.05 * np.log(1 + (math.e - 1) * shares)
    correlation = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))
    found = []
    for place, total in enumerate(spent):
        within = correlation[: place + 1, : place + 1]

        def stopped(z):
            if place == 0:
                return stats.norm.sf(z)
            upper = np.array([*found, z])
            law = stats.multivariate_normal(np.zeros(place + 1), within, seed=1, maxpts=1_000_000, abseps=1e-8, releps=1e-8)
            return 1 - law.cdf(upper)

        found.append(optimize.brentq(lambda z: stopped(z) - total, 0, 6, xtol=1e-7))
    return {"looks": looks, "tails": stats.norm.sf(found).tolist()}


def main():
    rng = np.random.default_rng(20180430)
    fixture = {
        "versions": VERSIONS,
        "effects": [effects(rng, [2, 3, 2], 0), effects(rng, [2] * 6, 6), effects(rng, [2] * 5 + [4], 5)],
        "shapley": [shapley(rng, players) for players in (1, 2, 4, 6)],
        "bounds": [bounds([20]), bounds([5, 10]), bounds([20, 40, 80]), bounds([5, 10, 20, 40])],
    }
    (HERE / "factorial.json").write_text(json.dumps(fixture) + "\n")


if __name__ == "__main__":
    main()
