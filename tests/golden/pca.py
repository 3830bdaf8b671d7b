"""Writes pca.json: squared residuals of rows outside the principal subspace of other rows, by scikit-learn in f64.

    pip install -r requirements.txt && python pca.py      # rewrites pca.json beside this file

The second case has more columns than fitted rows and a constant column; its subspace is then not the whole of what
the rows span.
"""

import json
import pathlib

import numpy
import sklearn
from sklearn.decomposition import PCA


def case(seed, fitted, scored, features, components, constant):
    numbers = numpy.random.default_rng(seed)
    mixing = numbers.normal(size=(features, features))
    draw = lambda rows: numpy.float32(numbers.normal(size=(rows, features)) @ mixing + 3.0)
    train, test = draw(fitted), draw(scored)
    if constant:
        train[:, 0] = test[:, 0] = 0.5
    pca = PCA(n_components=components, svd_solver="full").fit(numpy.float64(train))

    def residuals(rows):
        rows = numpy.float64(rows)
        return ((rows - pca.inverse_transform(pca.transform(rows))) ** 2).sum(axis=1)

    return {
        "components": components,
        "features": features,
        "train": train.reshape(-1).tolist(),
        "test": test.reshape(-1).tolist(),
        "train_scores": residuals(train).tolist(),
        "test_scores": residuals(test).tolist(),
    }


if __name__ == "__main__":
    cases = [case(1, 40, 10, 6, 1, False), case(2, 7, 5, 9, 3, True), case(3, 30, 4, 5, 4, False)]
    made_by = f"tests/golden/pca.py, scikit-learn {sklearn.__version__}, numpy {numpy.__version__}, f64"
    place = pathlib.Path(__file__).with_suffix(".json")
    place.write_text(json.dumps({"made_by": made_by, "cases": cases}, separators=(",", ":")) + "\n")
