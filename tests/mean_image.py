"""What a detector that ignores its input reaches on MNIST under the notebook's protocol.

It reconstructs every image as the mean of the normal training images, pixels in [-1, 1], scores by the mean
squared error and flags above 0.3, as experiment conv-vae-notebook-mnist does with a trained network.

    pip install numpy scikit-learn && python tests/mean_image.py DIRECTORY_OF_THE_FOUR_GZ_FILES
"""

import gzip
import pathlib
import sys

import numpy
from sklearn.metrics import roc_auc_score


def read(name, header):
    return numpy.frombuffer(gzip.open(pathlib.Path(sys.argv[1]) / name).read(), numpy.uint8, offset=header)


def images(part):
    return read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784) / 127.5 - 1


def main():
    train, test = images("train"), images("t10k")
    train_digit, test_digit = read("train-labels-idx1-ubyte.gz", 8), read("t10k-labels-idx1-ubyte.gz", 8)
    for digit in (0, 1):
        normal = train[train_digit != digit]
        mean = normal.mean(0)
        error = ((test - mean) ** 2).mean(1)
        anomaly = test_digit == digit
        print(
            f"anomaly digit {digit}: training error {((normal - mean) ** 2).mean():.4f}, auroc "
            f"{roc_auc_score(anomaly, error):.4f}, auroc of flags {roc_auc_score(anomaly, error > 0.3):.4f}"
        )


if __name__ == "__main__":
    main()
