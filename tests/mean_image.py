"""What a detector that ignores its input reaches on MNIST under the notebook's protocol.

It reconstructs every image as the mean of the normal training images, pixels in [-1, 1], scores by the mean
squared error and flags above 0.3, as experiment conv-vae-notebook-mnist does with a trained network. It is
evaluated twice: on all test images, and as the notebook evaluates, which loads normal and anomalous test images
apart, in file order, in batches of 512, and drops incomplete batches.

    pip install numpy scikit-learn && python tests/mean_image.py DIRECTORY_OF_THE_FOUR_GZ_FILES
"""

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


def main():
    train, test = images("train"), images("t10k")
    train_digit, test_digit = read("train-labels-idx1-ubyte.gz", 8), read("t10k-labels-idx1-ubyte.gz", 8)
    for digit in (0, 1):
        normal = train[train_digit != digit]
        mean = normal.mean(0)
        error = ((test - mean) ** 2).mean(1)
        anomaly = test_digit == digit
        print(f"anomaly digit {digit}: training error {((normal - mean) ** 2).mean():.4f}")
        for name, rows in ((f"whole batches of {BATCH}", whole_batches(anomaly)), ("all test images", slice(None))):
            label, score = anomaly[rows], error[rows]
            print(
                f"  {name}, {label.sum()} anomalies + {(~label).sum()} normal: auroc {roc_auc_score(label, score):.4f}, "
                f"auroc of flags {roc_auc_score(label, score > 0.3):.4f}"
            )


if __name__ == "__main__":
    main()
