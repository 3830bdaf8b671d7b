"""What a detector that ignores its input reaches on MNIST under the notebook's protocol.

It reconstructs every image as the mean of the normal training images, pixels in [-1, 1], scores by the mean
squared error and flags above 0.3, as experiment conv-vae-notebook-mnist does with a trained network. It is
evaluated twice: on all test images, and as the notebook evaluates, which loads normal and anomalous test images
apart, in file order, in batches of 512, and drops incomplete batches.

    pip install numpy scikit-learn && python tests/mean_image.py DIRECTORY_OF_THE_FOUR_GZ_FILES [FILE.csv]

prints the figures, and writes them to the file (`make mean-image`: results/mean-image.csv).
"""

import csv
import gzip
import pathlib
import sys

import numpy
from sklearn.metrics import roc_auc_score

BATCH = 512


def read(name, header):
    return numpy.frombuffer(gzip.open(pathlib.Path(sys.argv[1]) / name).read(), numpy.uint8, offset=header)


def images(part):
    return read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784) / 127.5 - 1


def whole_batches(anomaly):
    """Indices of the test images that are left, normal images and anomalies apart, in file order."""
    kinds = [numpy.flatnonzero(anomaly == kind) for kind in (False, True)]
    return numpy.concatenate([kind[: len(kind) // BATCH * BATCH] for kind in kinds])


def rows():
    """One row of figures for each digit and test set."""
    train, test = images("train"), images("t10k")
    train_digit, test_digit = read("train-labels-idx1-ubyte.gz", 8), read("t10k-labels-idx1-ubyte.gz", 8)
    for digit in (0, 1):
        normal = train[train_digit != digit]
        mean = normal.mean(0)
        error = ((test - mean) ** 2).mean(1)
        anomaly = test_digit == digit
        for name, kept in ((f"whole batches of {BATCH}", whole_batches(anomaly)), ("all test images", slice(None))):
            label, score = anomaly[kept], error[kept]
            yield {
                "digit": digit,
                "test": name,
                "anomalies": label.sum(),
                "normal": (~label).sum(),
                "training_error": f"{((normal - mean) ** 2).mean():.6f}",
                "auroc": f"{roc_auc_score(label, score):.6f}",
                "auroc_of_flags": f"{roc_auc_score(label, score > 0.3):.6f}",
            }


def main():
    found = list(rows())
    for row in found:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w", newline="") as file:
            writer = csv.DictWriter(file, found[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)


if __name__ == "__main__":
    main()
