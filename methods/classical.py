"""Detectors of scikit-learn and PyOD as one program: settings.method names the detector.

settings.rows bounds the training rows of detectors whose cost grows with their square, by name; the seed draws them.
Scores of all detectors are higher for more anomalous rows.
"""

import json
import pathlib
import sys

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, KernelPCA
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

# Rows scored at a time: bounds the memory of detectors that compare each with all training rows.
BLOCK = 4096


def isolation_forest(train, job):
    forest = IsolationForest(n_estimators=100, random_state=job["seed"]).fit(train)
    return lambda rows: -forest.score_samples(rows)


def one_class_svm(train, job):
    machine = OneClassSVM(kernel="rbf", gamma="scale", nu=job["settings"]["nu"]).fit(train)
    return lambda rows: -machine.score_samples(rows)


def local_outlier_factor(train, job):
    factor = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(train)
    return lambda rows: -factor.score_samples(rows)


def pca(train, job):
    """The squared error that one component leaves, the width of DAGMM's code on KDD Cup 99."""
    components = PCA(n_components=1, svd_solver="covariance_eigh").fit(train)
    return lambda rows: squares(rows - components.inverse_transform(components.transform(rows)))


def kernel_pca(train, job):
    """The squared error in feature space (Hoffmann, 2007); k(x, x) = 1 for the RBF kernel."""
    kernel = KernelPCA(n_components=10, kernel="rbf", random_state=job["seed"]).fit(train)

    def score(rows):
        centred = kernel._centerer
        to_training = kernel._get_kernel(np.asarray(rows), kernel.X_fit_)
        norm = 1 - 2 * to_training.mean(axis=1) + centred.K_fit_all_
        return norm - squares(kernel.transform(rows))

    return score


def k_means(train, job):
    """The distance to the nearest of 10 centres."""
    clusters = KMeans(n_clusters=10, n_init=1, random_state=job["seed"]).fit(train)
    return lambda rows: clusters.transform(rows).min(axis=1)


def gaussian_mixture(train, job):
    mixture = GaussianMixture(n_components=4, reg_covar=1e-6, random_state=job["seed"]).fit(train)
    return lambda rows: -mixture.score_samples(rows)


def pca_gaussian_mixture(train, job):
    """DAGMM without its networks: a mixture of 4 on one principal component and the error it leaves."""
    components = PCA(n_components=1, svd_solver="covariance_eigh").fit(train)

    def features(rows):
        code = components.transform(rows)
        return np.hstack([code, np.sqrt(squares(rows - components.inverse_transform(code)))[:, None]])

    mixture = GaussianMixture(n_components=4, reg_covar=1e-6, random_state=job["seed"]).fit(features(train))
    return lambda rows: -mixture.score_samples(features(rows))


def ecod(train, job):
    from pyod.models.ecod import ECOD

    return ECOD().fit(train).decision_function


def copod(train, job):
    from pyod.models.copod import COPOD

    return COPOD().fit(train).decision_function


def pyod_autoencoder(train, job):
    from pyod.models.auto_encoder import AutoEncoder

    network = AutoEncoder(hidden_neuron_list=[64, 32], epoch_num=10, batch_size=256, random_state=job["seed"], verbose=0)
    return network.fit(train).decision_function


def deep_svdd(train, job):
    from pyod.models.deep_svdd import DeepSVDD

    network = DeepSVDD(n_features=train.shape[1], epochs=20, batch_size=256, random_state=job["seed"], verbose=0)
    return network.fit(train).decision_function


METHODS = {
    "isolation-forest": isolation_forest,
    "one-class-svm": one_class_svm,
    "local-outlier-factor": local_outlier_factor,
    "pca": pca,
    "kernel-pca": kernel_pca,
    "k-means": k_means,
    "gaussian-mixture": gaussian_mixture,
    "pca-gaussian-mixture": pca_gaussian_mixture,
    "ecod": ecod,
    "copod": copod,
    "autoencoder": pyod_autoencoder,
    "deep-svdd": deep_svdd,
}

# Detectors that score a row beside all others of the same call: their rows go in together.
TOGETHER = {"ecod", "copod"}


def squares(rows):
    return np.einsum("ij,ij->i", rows, rows)


def main():
    folder = pathlib.Path(sys.argv[-1])
    job = json.loads((folder / "job.json").read_text())
    settings = job["settings"]
    method = METHODS[settings["method"]]
    train, test = (np.load(folder / f"{name}.npy").astype(np.float64) for name in ("train", "test"))
    limit = settings.get("rows", {}).get(settings["method"], len(train))
    if len(train) > limit:
        train = train[np.random.default_rng(job["seed"]).choice(len(train), limit, replace=False)]
    np.random.seed(job["seed"])  # of libraries that take no seed
    score = method(train, job)
    blocks = 1 if settings["method"] in TOGETHER else max(1, len(test) // BLOCK)
    scores = np.concatenate([score(rows) for rows in np.array_split(test, blocks)])
    np.save(folder / "scores.npy", np.asarray(scores, dtype=np.float64))


if __name__ == "__main__":
    main()
