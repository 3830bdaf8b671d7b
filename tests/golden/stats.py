"""Writes stats.json beside this file: what numpy, scipy and statsmodels say about small made-up
samples, and what independent computations say where they have nothing.

Run: python tests/golden/stats.py   (numpy, scipy and statsmodels; their versions are kept in the
file). Takes about a minute."""

import json
import pathlib

import numpy as np
import scipy
import statsmodels
import statsmodels.api as sm
from scipy import integrate, optimize, stats
from statsmodels.stats import power as sm_power
from statsmodels.stats import weightstats
from statsmodels.stats.multitest import multipletests

HERE = pathlib.Path(__file__).parent
VERSIONS = {"numpy": np.__version__, "scipy": scipy.__version__, "statsmodels": statsmodels.__version__}
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
CAP = 100_000


def samples(rng):
    for n, centre, spread in [(2, 0.9, 0.05), (3, 0.9, 0.2), (5, 0.93, 0.03), (20, 0.93, 0.02), (400, 0.5, 0.1)]:
        values = rng.normal(centre, spread, n)
        yield {
            "values": values.tolist(), "mean": values.mean(), "std": values.std(ddof=1),
            "median": np.median(values), "min": values.min(), "max": values.max(),
            "quartiles": np.quantile(values, [0.25, 0.75]).tolist(),
            "quantiles": {str(q): np.quantile(values, q) for q in (0.0, 0.1, 0.25, 0.5, 0.8, 1.0)},
        }


def t_intervals():
    for n in (2, 3, 4, 5, 10, 20, 21, 100, 1000, 10_000, 100_000):
        mean, std = 0.9371, 0.0213
        intervals = {
            str(level): list(stats.t.interval(level, n - 1, loc=mean, scale=std / np.sqrt(n)))
            for level in LEVELS
        }
        yield {"n": n, "mean": mean, "std": std, "intervals": intervals}


def one_sample(values, figure):
    described = weightstats.DescrStatsW(values - figure)
    test = stats.ttest_1samp(values, figure)
    margins = (0.0, 0.005, 0.02, 0.05, 0.3)
    return {
        "ours": values.tolist(), "figure": figure,
        "difference": values.mean() - figure, "standard_error": stats.sem(values), "degrees": test.df,
        "intervals": {str(level): list(described.tconfint_mean(1 - level)) for level in LEVELS},
        "equivalent": {str(m): described.ttost_mean(-m, m)[0] for m in margins},
        "different": {
            str(m): min(stats.ttest_1samp(values - m, figure, alternative="greater").pvalue,
                        stats.ttest_1samp(values + m, figure, alternative="less").pvalue)
            for m in margins
        },
        "smallest_margin": optimize.brentq(
            lambda m: described.ttost_mean(-m, m)[0] - 0.05, 0.0, 100.0, xtol=1e-14, rtol=1e-14),
    }


def welch(values, theirs):
    def test(shift=0.0, alternative="two-sided"):
        return stats.ttest_ind(values + shift, theirs, equal_var=False, alternative=alternative)

    def equivalent(margin):
        return weightstats.ttost_ind(values, theirs, -margin, margin, usevar="unequal")[0]

    margins = (0.0, 0.005, 0.02, 0.05, 0.3)
    difference = values.mean() - theirs.mean()
    return {
        "ours": values.tolist(), "theirs": theirs.tolist(), "difference": difference,
        "standard_error": difference / test().statistic, "degrees": test().df,
        "intervals": {str(level): list(test().confidence_interval(level)) for level in LEVELS},
        "equivalent": {str(m): equivalent(m) for m in margins},
        "different": {
            str(m): min(test(-m, "greater").pvalue, test(m, "less").pvalue) for m in margins
        },
        "smallest_margin": optimize.brentq(
            lambda m: equivalent(m) - 0.05, 0.0, 100.0, xtol=1e-14, rtol=1e-14),
    }


def contrasts(rng):
    for n, spread, figure in [(2, 0.05, 0.9), (3, 0.02, 0.93), (5, 0.03, 0.95), (20, 0.02, 0.9369), (200, 0.1, 0.9)]:
        yield one_sample(rng.normal(0.93, spread, n), figure)
    for n, spread, their_n, their_spread in [
        (2, 0.05, 2, 0.01), (3, 0.002, 5, 0.05), (20, 0.02, 20, 0.03), (20, 0.05, 3, 0.001), (400, 0.1, 5, 0.02),
    ]:
        yield welch(rng.normal(0.93, spread, n), rng.normal(0.92, their_spread, their_n))


def welch_half(n, std, runs, their_std):
    """Half of Welch's 90 % interval; of a source of one run its standard deviation is known exactly."""
    ours, theirs = std**2 / n, their_std**2 / runs
    share = theirs**2 / (runs - 1) if runs > 1 else 0.0
    # as many degrees of freedom as the program tells apart from infinity
    degrees = min(CAP, (ours + theirs) ** 2 / (ours**2 / (n - 1) + share))
    return stats.t.ppf(0.95, degrees) * np.sqrt(ours + theirs)


def sources():
    """Published means without a std: theirs is taken to be ours."""
    for n, mean, std, figure, runs in [
        (20, 0.8751, 0.0583, 0.9369, 20), (20, 0.9222, 0.0319, 0.9607, 1), (3, 0.92, 0.005, 0.9, 5),
        (5, 0.9, 0.004, 0.905, 1), (75, 0.93, 0.05, 0.93, 20), (1000, 0.93, 0.05, 0.99, 1),
        (20, 0.917, 0.03, 0.9369, 20), (20, 0.935, 0.004, 0.9369, 2),
    ]:
        difference, margin = mean - figure, 0.02
        error = std * np.sqrt(1 / n + 1 / runs)
        values = stats.norm.ppf((np.arange(n) + 0.5) / n)
        values = mean + std * (values - values.mean()) / values.std(ddof=1)
        prediction = list(stats.t.interval(0.95, n - 1, loc=mean, scale=error))
        if runs == 1:
            fit = sm.OLS(values, np.ones(n)).fit().get_prediction([[1.0]])
            prediction = fit.conf_int(obs=True, alpha=0.05)[0].tolist()
        room = abs(abs(difference) - margin)
        flips = welch_half(n, std, runs, 1e-9) < room
        yield {
            "n": n, "mean": mean, "std": std, "figure": figure, "runs": runs, "standard_error": error,
            "interval": list(stats.t.interval(0.9, n - 1, loc=difference, scale=error)),
            "prediction": prediction,
            "p_equivalent": stats.t.sf((margin - abs(difference)) / error, n - 1),
            "p_different": stats.t.sf((abs(difference) - margin) / error, n - 1),
            "decidable_margin": stats.t.ppf(0.95, n - 1) * std / np.sqrt(runs),
            "flip": optimize.brentq(lambda s: welch_half(n, std, runs, s) - room, 1e-9, 10.0,
                                    xtol=1e-15, rtol=1e-14) if flips else None,
        }


def runs_needed(difference, std, published, margin):
    """`published`: std, or none for ours, and number of runs."""
    n = np.arange(3, CAP + 1)
    ours, degrees, theirs = std**2 / n, n - 1, (std if published[0] is None else published[0]) ** 2 / published[1]
    if published[0] is not None and published[1] > 1:
        degrees = (ours + theirs) ** 2 / (ours**2 / (n - 1) + theirs**2 / (published[1] - 1))
    half = stats.t.ppf(0.95, degrees) * np.sqrt(ours + theirs)
    decides = (abs(difference) + half < margin) | (abs(difference) - half > margin)
    return int(n[decides.argmax()]) if decides.any() else None


def needed():
    alone = [(0.0, 0.01), (0.015, 0.03), (-0.03, 0.05), (-0.018, 0.06), (0.0, 0.3), (0.02, 0.01), (0.0199, 0.1),
             (0.0199, 0.014), (0.3, 1e-6), (0.019, 0.19)]
    for difference, std in alone:
        for runs in (1, 5, 20, 10**6):
            yield {"difference": difference, "std": std, "margin": 0.02, "published": (None, runs)}
    for difference, std, published in [
        (0.0, 0.02, (0.02, 20)), (0.0, 0.02, (0.05, 20)), (0.05, 0.1, (0.02, 5)), (0.0, 0.05, (0.004, 2)),
        (0.0, 0.06, (0.0045, 2)), (0.01, 0.3, (0.001, 3)), (0.0, 0.01, (0.03, 3)), (0.018, 0.05, (0.0, 10)),
    ]:
        yield {"difference": difference, "std": std, "margin": 0.02, "published": published}


def shares():
    """Exact intervals of a share, and Fisher's test of it beside another."""
    for k, n, their_k, their_n in [(0, 20, 1, 1), (20, 20, 1, 1), (3, 20, 1, 1), (1, 2, 0, 3), (7, 9, 2, 12),
                                   (150, 400, 30, 50), (0, 1, 0, 1), (1, 5, 4, 5)]:
        interval = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
        yield {"k": k, "n": n, "their_k": their_k, "their_n": their_n, "interval": list(interval),
               "fisher": stats.fisher_exact([[k, n - k], [their_k, their_n - their_k]]).pvalue}


def holms(rng):
    for p in ([], [0.03], [0.01, 0.04, 0.03, 0.005], [0.5, 0.9, 0.7], [0.02, 0.02, 0.02], [0.0, 1.0, 0.0],
              rng.random(30).tolist(), (rng.random(12) ** 4).tolist()):
        adjusted = multipletests(p, method="holm")[1].tolist() if p else []
        yield {"p": p, "adjusted": adjusted}


def signed_ranks(rng):
    small, shifted = np.round(rng.normal(0.01, 0.02, 18), 2), rng.normal(0.01, 0.02, 50)
    every = stats.PermutationMethod(n_resamples=np.inf, batch=1 << 14)
    for name, differences, exact, method in [
        ("one", rng.normal(0.0, 1.0, 1), True, "exact"),
        ("two", rng.normal(0.0, 1.0, 2), True, "exact"),
        ("three", np.array([0.1, -0.2, 0.3]), True, "exact"),
        ("twenty", rng.normal(0.01, 0.02, 20), True, "exact"),
        ("twenty, small p", rng.normal(0.03, 0.02, 20), True, "exact"),
        ("fifty", shifted, True, "exact"),
        ("ties and zeros", np.array([0.0, 0.1, -0.1, 0.2, 0.2, 0.0, -0.3, 0.5]), True, every),
        ("all tied", np.array([0.25] * 7 + [-0.25] * 3), True, every),
        ("eighteen with ties", small, True, every),
        ("fifty-one", rng.normal(0.005, 0.02, 51), False, "asymptotic"),
        ("many with ties and zeros", np.round(rng.normal(0.01, 0.05, 300), 2), False, "asymptotic"),
        ("balanced", np.concatenate([np.arange(1.0, 41.0), -np.arange(1.0, 41.0)]), False, "asymptotic"),
    ]:
        # scipy's permutations keep zeros and flip them in vain; dropped beforehand it is the same test
        kept = differences[differences != 0]
        test = stats.wilcoxon(kept, zero_method="wilcox", correction=True, method=method)
        ranks = stats.rankdata(np.abs(kept))
        n = len(differences)
        yield {
            "name": name, "differences": differences.tolist(), "exact": exact,
            "statistic": float(test.statistic) if method != every else
            float(min(ranks[kept > 0].sum(), ranks[kept < 0].sum())),
            "p": float(test.pvalue),
            "rank_biserial": float((np.sign(kept) * ranks).sum() / ranks.sum()),
            "cohen_dz": stats.ttest_1samp(differences, 0).statistic / np.sqrt(n) if n > 1 else None,
        }


def bootstraps(rng):
    """Given resamples, scipy's interval is a function; these are kept, so that it can be compared
    exactly. Beside it, the interval of scipy's own 200,000 resamples."""
    for name, values, level, kept in [
        # sums of whole 1/1024 are exact, so that scipy too sees which means are equal
        ("three", np.array([930.0, 952.0, 1007.0]) / 1024, 0.95, 300),
        ("five, skewed", np.round(1024 * rng.beta(8, 1, 5)) / 1024, 0.9, 300),
        ("eight, far from 0", 27.63 + rng.normal(0, 1e-3, 8), 0.95, 300),
        ("twenty", rng.normal(0.93, 0.02, 20), 0.95, 400),
        ("twenty, one far off", np.append(rng.normal(0.95, 0.003, 19), 0.4), 0.9, 400),
        ("hundred, skewed", rng.beta(20, 1, 100), 0.95, 400),
    ]:
        def interval(resamples, **result):
            found = stats.bootstrap((values,), np.mean, n_resamples=resamples, confidence_level=level,
                                    method="BCa", rng=rng, batch=10_000, **result)
            return found, list(found.confidence_interval)

        few = stats.bootstrap((values,), np.mean, n_resamples=kept, method="percentile", rng=rng)
        yield {
            "name": name, "values": values.tolist(), "level": level,
            "means": few.bootstrap_distribution.tolist(),
            "interval": interval(0, bootstrap_result=few)[1],
            "converged": interval(200_000)[1],
        }


def power(n, std, margin, difference, published, inside):
    """Over the mean instead of over the std: P(std small enough to decide | mean)."""
    error, t = std * np.sqrt(1 / n + (1 / published if published else 0)), stats.t.ppf(0.95, n - 1)

    def density(mean):
        widest = abs(margin - abs(mean)) / (t * error)
        return stats.norm.pdf(mean, difference, error) * stats.chi2.cdf((n - 1) * widest**2, n - 1)

    knots = np.concatenate([np.linspace(difference - 12 * error, difference + 12 * error, 49), [-margin, 0, margin]])
    knots = sorted(knots[np.abs(knots) <= margin] if inside else knots)
    parts = [integrate.quad(density, a, b, epsabs=1e-14, epsrel=1e-12)[0]
             for a, b in zip(knots, knots[1:]) if inside or max(abs(a), abs(b)) > margin]
    return sum(parts)


def power_reproduced(n, std, margin, difference, published):
    return power(n, std, margin, difference, published, True)


def power_not_reproduced(n, std, margin, difference, published):
    """Also two one-sided t tests, one at each edge, of which at most one can reject; scipy's
    noncentral t distribution fails far out."""
    found = power(n, std, margin, difference, published, False)
    if published:
        return found
    one_sided = sm_power.TTestPower()
    above = one_sided.power((difference - margin) / std, n, 0.05, alternative="larger")
    below = one_sided.power((difference + margin) / std, n, 0.05, alternative="smaller")
    assert np.isnan(above + below) or abs(above + below - found) < 1e-9, (n, std, difference, found, above + below)
    return found


def powers():
    designs = [(n, std, difference, None) for n in (3, 4, 5, 20, 100, 3000) for std in (0.003, 0.01, 0.02, 0.1, 0.6)
               for difference in (0.0, 0.01, -0.02, 0.03)]
    designs += [(n, std, difference, published) for n in (3, 20, 3000) for std in (0.003, 0.02, 0.0583)
                for difference in (0.0, -0.02) for published in (1, 5, 20)]
    for n, std, difference, published in designs:
        design = {"n": n, "std": std, "margin": 0.02, "difference": difference, "published": published}
        yield {**design, "reproduced": power_reproduced(*design.values()),
               "not_reproduced": power_not_reproduced(*design.values())}


def runs_for_power(std, margin, difference, published, power):
    if abs(difference) >= margin:
        return None
    found = (n for n in range(3, 2000) if power_reproduced(n, std, margin, difference, published) >= power)
    return next(found, None)


def plans():
    runs = [{"std": s, "difference": d, "power": p, "margin": 0.02, "published": k,
             "runs": runs_for_power(s, 0.02, d, k, p)}
            for s, d, p, k in [(0.001, 0.0, 0.8, None), (0.01, 0.0, 0.8, None), (0.02, 0.0, 0.9, None),
                               (0.02, 0.01, 0.8, None), (0.05, -0.005, 0.8, None), (0.01, 0.02, 0.8, None),
                               (0.02, 0.0, 0.8, 20), (0.025, 0.0, 0.9, 20), (0.006, 0.0, 0.8, 1)]]
    margins = [{"n": n, "std": s, "power": p, "published": k,
                "margin": optimize.brentq(lambda m: power_reproduced(n, s, m, 0.0, k) - p, 1e-4 * s, 100 * s,
                                          xtol=1e-13, rtol=1e-12)}
               for n, s, p, k in [(3, 0.01, 0.8, None), (5, 0.03, 0.8, None), (20, 0.02, 0.8, None),
                                  (20, 0.02, 0.95, None), (100, 0.1, 0.5, None), (20, 0.0583, 0.8, 20),
                                  (5, 0.03, 0.8, 1)]]
    return {"runs": runs, "margins": margins}


def content():
    rng = np.random.default_rng(7)
    return {
        "samples": list(samples(rng)),
        "t_intervals": list(t_intervals()),
        "contrasts": list(contrasts(rng)),
        "sources": list(sources()),
        "runs_needed": [{**case, "runs": runs_needed(case["difference"], case["std"], case["published"], 0.02)}
                        for case in needed()],
        "shares": list(shares()),
        "holm": list(holms(rng)),
        "wilcoxon": list(signed_ranks(rng)),
        "bca": list(bootstraps(rng)),
        "power": list(powers()),
        "plans": plans(),
    }


text = json.dumps({"versions": VERSIONS, **content()}, separators=(",", ":"), default=float, allow_nan=False)
for first in ("values", "n", "k", "ours", "difference", "p", "name", "std"):
    text = text.replace('{"%s"' % first, '\n{"%s"' % first)
(HERE / "stats.json").write_text(text + "\n")
