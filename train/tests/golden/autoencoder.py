"""Writes autoencoder.json: errors, loss and gradients of a fully connected autoencoder in f64.

PyTorch modules and autograd: linear layers with an activation between them, code and reconstruction linear. A row's
error is the sum over the features of its squared differences, their mean, or the root of their sum; the loss is the
mean of the rows' errors. Weights are [in, out] in the file: a layer is x @ W + b.

    pip install -r requirements.txt && python autoencoder.py      # rewrites autoencoder.json beside this file
"""

import json
import pathlib

import torch
from torch import nn

torch.set_default_dtype(torch.float64)
FEATURES, HIDDEN, LATENT, ROWS = 5, [4, 3], 2, 9
ERRORS = {
    "sum": lambda square: square.sum(1),
    "mean": lambda square: square.mean(1),
    "norm": lambda square: square.sum(1).sqrt(),
}


def stack(widths, activation):
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def array(tensor):
    return {"shape": list(tensor.shape), "values": tensor.detach().reshape(-1).tolist()}


def named(encoder, decoder, of):
    values = {}
    for name, network in [("encoder", encoder), ("decoder", decoder)]:
        for number, layer in enumerate(layer for layer in network if isinstance(layer, nn.Linear)):
            values[f"{name}.{number}.weight"] = array(of(layer.weight).T.contiguous())
            values[f"{name}.{number}.bias"] = array(of(layer.bias))
    return values


def case(reconstruction, activation):
    torch.manual_seed(len(reconstruction) * 7 + len(activation))
    module = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}[activation]
    widths = [FEATURES, *HIDDEN, LATENT]
    encoder, decoder = stack(widths, module), stack(widths[::-1], module)
    x = torch.rand(ROWS, FEATURES)
    errors = ERRORS[reconstruction]((x - decoder(encoder(x))) ** 2)
    errors.mean().backward()
    return {
        "choice": {"reconstruction": reconstruction, "activation": activation, "hidden": HIDDEN, "latent": LATENT},
        "x": array(x),
        "parameters": named(encoder, decoder, lambda parameter: parameter),
        "errors": array(errors),
        "gradients": named(encoder, decoder, lambda parameter: parameter.grad),
    }


if __name__ == "__main__":
    cases = [case(*pair) for pair in [("sum", "tanh"), ("mean", "relu"), ("norm", "sigmoid")]]
    made_by = f"train/tests/golden/autoencoder.py, torch {torch.__version__}, f64"
    place = pathlib.Path(__file__).with_suffix(".json")
    place.write_text(json.dumps({"made_by": made_by, "cases": cases}, separators=(",", ":")) + "\n")
