"""Writes metrics.json beside this file: what scikit-learn, numpy and scipy say about small made-up
scores, with ties, one class and infinities among them.

Run: python tests/golden/metrics.py   (numpy, scipy and scikit-learn; their versions are kept
in the file). scikit-learn refuses infinite scores, so it is given dense ranks, which have the
same order and the same ties."""

import json
import pathlib
import warnings

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn import metrics

HERE = pathlib.Path(__file__).parent
VERSIONS = {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__}


def plain(values):
    """Floats JSON can carry: infinities as strings."""
    return [float(v) if np.isfinite(v) else str(float(v)) for v in values]


def undefined(value):
    return None if np.isnan(value) else float(value)


def expected_metrics(scores, labels, flags):
    ranks = stats.rankdata(scores, method="dense")
    tn, fp, fn, tp = metrics.confusion_matrix(labels, flags, labels=[0, 1]).ravel()
    score = {"zero_division": np.nan}
    both = 0 < labels.sum() < len(labels)
    return {
        "counts": {"tp": int(tp), "fp": int(fp), "fn": int(fn), "tn": int(tn)},
        "precision": undefined(metrics.precision_score(labels, flags, **score)),
        "recall": undefined(metrics.recall_score(labels, flags, **score)),
        "f1": undefined(metrics.f1_score(labels, flags, **score)),
        "auroc": metrics.roc_auc_score(labels, ranks) if both else None,
        # scikit-learn warns and says 0 where there is no positive row
        "auprc": metrics.average_precision_score(labels, ranks) if labels.any() else None,
        "auroc_of_flags": metrics.roc_auc_score(labels, flags) if both else None,
    }


def expected_best_f1(scores, labels):
    """Largest F1 over the observed scores as thresholds, the highest threshold among equals."""
    best = (0, 1, None)
    for threshold in sorted(set(scores), reverse=True):
        flags = scores >= threshold
        tp, total = int((flags & (labels == 1)).sum()), int(flags.sum() + labels.sum())
        if tp * best[1] > best[0] * total:
            best = (tp, total, threshold)
            f1 = metrics.f1_score(labels, flags)
            assert abs(f1 - 2 * tp / total) < 1e-15
    return best[2]


def expected_flags(test, labels, train):
    rules = []
    for top in (0.2, 0.025, 0.15, 0.5):
        count = int(np.floor(top * len(test) + 0.5))
        flags = np.zeros(len(test), int)
        flags[np.argsort(-test, kind="stable")[:count]] = 1
        rules.append({"rule": {"top": top, "of": "test"}, "flags": flags.tolist()})
        for of, population in (("train", train), ("train-and-test", np.concatenate([train, test]))):
            with np.errstate(invalid="ignore"):
                threshold = np.percentile(population, 100 * (1 - top))
            if np.isnan(threshold):  # numpy's arithmetic beside an infinite score
                continue
            rules.append({
                "rule": {"top": top, "of": of},
                "threshold": plain([threshold])[0],
                "flags": (test > threshold).astype(int).tolist(),
            })
    flags = np.zeros(len(test), int)
    flags[np.argsort(-test, kind="stable")[:labels.sum()]] = 1
    rules.append({"rule": {"anomaly-count": True}, "flags": flags.tolist()})
    if labels.any():
        threshold = expected_best_f1(test, labels)
        rules.append({
            "rule": {"best-f1": True},
            "threshold": plain([threshold])[0],
            "flags": (test >= threshold).astype(int).tolist(),
        })
    return rules


def metric_cases():
    rng = np.random.default_rng(20180430)
    for name, rows, make in [
        ("continuous", 301, lambda s: s),
        ("ties", 240, lambda s: np.round(s * 2) / 2),
        ("heavy ties, signed zeros", 97, lambda s: np.sign(np.round(s)) * 1.0),
        ("all equal", 40, lambda s: np.full_like(s, 27.63)),
        ("infinities", 120, lambda s: np.where(s > 1.2, np.inf, np.where(s < -1.2, -np.inf, s))),
        ("tiny differences", 64, lambda s: 27.63 + s * 1e-14),
        ("one class: normal", 30, lambda s: s),
        ("one class: anomaly", 30, lambda s: s),
        ("one row", 1, lambda s: s),
    ]:
        labels = (rng.random(rows) < 0.25).astype(int)
        if name == "one class: normal":
            labels[:] = 0
        if name in ("one class: anomaly", "one row"):
            labels[:] = 1
        test = make(rng.standard_normal(rows) + 0.8 * labels)
        train = make(rng.standard_normal(rows + 13))
        for share in (0.2, 0.0):
            flags = np.zeros(rows, int)
            flags[np.argsort(-test, kind="stable")[: int(np.floor(share * rows + 0.5))]] = 1
            yield {
                "name": f"{name}, {share} flagged",
                "scores": plain(test),
                "labels": labels.tolist(),
                "flags": flags.tolist(),
                "train": plain(train),
                "expected": expected_metrics(test, labels, flags),
                "rules": expected_flags(test, labels, train) if share else [],
            }


def write(name, content):
    text = json.dumps({"versions": VERSIONS, **content}, separators=(",", ":"))
    (HERE / name).write_text(text.replace('{"name"', '\n{"name"').replace('{"values"', '\n{"values"') + "\n")


warnings.simplefilter("ignore")
write("metrics.json", {"cases": list(metric_cases())})
