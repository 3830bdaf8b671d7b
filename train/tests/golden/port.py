"""Writes port.json: training steps of the first version of danieltan07/dagmm, written anew from a description of it.

It shares no code with dagmm.py or seedbed: PyTorch modules, autograd, numpy's determinant, clip_grad_norm_ and
torch.optim.Adam, in f64. The description, of the version whose figures the port's README reports:

- the autoencoder is tanh between linear layers, code and output linear; the code is followed by the relative
  Euclidean distance and the cosine similarity of a row and its reconstruction;
- a mixture of K components: weights, means and covariances from soft memberships, 1e-12 on every diagonal;
- the energy of a row takes the inverse of each covariance with its gradient, and the determinant of 2 pi times the
  covariance from numpy, a number without a gradient, of which it takes the root; exponents lose max(0, the largest
  of them) before exp; 1e-12 is added inside the logarithm;
- the loss is the squared error, mean over all elements, + 0.1 of the mean energy + 0.005 of the sum of the
  reciprocals of all covariance diagonals;
- a step clips the norm of the gradient at 5 and is Adam's, with a learning rate of 1e-4.

    pip install -r requirements.txt && python port.py      # rewrites port.json beside this file

Dropout masks are part of the fixture. Weights are [in, out] there: a layer is x @ W + b.
"""

import json
import math
import pathlib

import numpy
import torch
from torch import nn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

FEATURES, HIDDEN, CODE, COMPONENTS, UNITS = 14, [8, 6, 4], 1, 4, 10
ROWS, BATCH, STEPS = 96, 32, 40
TINY = 1e-12


def stack(widths):
    """Linear layers with tanh between them."""
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Port(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [FEATURES, *HIDDEN, CODE]
        self.encoder = stack(widths)
        self.decoder = stack(widths[::-1])
        self.first = nn.Linear(CODE + 2, UNITS)
        self.second = nn.Linear(UNITS, COMPONENTS)

    def forward(self, x, mask):
        code = self.encoder(x)
        rebuilt = self.decoder(code)
        distance = (x - rebuilt).norm(2, dim=1) / x.norm(2, dim=1)
        similarity = nn.functional.cosine_similarity(x, rebuilt, dim=1)
        z = torch.cat([code, distance.unsqueeze(1), similarity.unsqueeze(1)], dim=1)
        dropped = torch.tanh(self.first(z)) * mask * 2  # kept with probability 1/2
        return rebuilt, z, torch.softmax(self.second(dropped), dim=1)

    def named_weights(self):
        """Names and layout as in the fixture."""
        named = {}
        for name, network in [("encoder", self.encoder), ("decoder", self.decoder)]:
            for number, layer in enumerate(layer for layer in network if isinstance(layer, nn.Linear)):
                named[f"{name}.{number}"] = layer
        named |= {"estimation.0": self.first, "estimation.1": self.second}
        values = {}
        for name, layer in named.items():
            values[f"{name}.weight"] = array(layer.weight.T)
            values[f"{name}.bias"] = array(layer.bias)
        return values


def array(tensor):
    return {"shape": list(tensor.shape), "values": tensor.detach().reshape(-1).tolist()}


def energy_and_penalty(z, memberships):
    """Mean energy of the rows, and the sum of the reciprocals of the covariances' diagonals."""
    weighted_densities, exponents, penalty = [], [], 0
    for component in memberships.T:
        mass = component.sum()
        centre = (component.unsqueeze(1) * z).sum(0) / mass
        away = z - centre
        covariance = (component.unsqueeze(1) * away).T @ away / mass + TINY * torch.eye(z.shape[1])
        penalty = penalty + (1 / covariance.diag()).sum()
        exponents.append(-0.5 * ((away @ torch.inverse(covariance)) * away).sum(1))
        root = math.sqrt(numpy.linalg.det(covariance.detach().numpy() * (2 * numpy.pi)))
        weighted_densities.append(mass / len(z) / root)
    exponents = torch.stack(exponents, dim=1)
    largest = exponents.clamp(min=0).max(dim=1, keepdim=True).values
    sums = (torch.stack(weighted_densities) * torch.exp(exponents - largest)).sum(1)
    return (-largest.squeeze(1) - torch.log(sums + TINY)).mean(), penalty


def main():
    generator = torch.Generator().manual_seed(20180430)
    torch.manual_seed(7)
    data = torch.rand(ROWS, FEATURES, generator=generator)
    data[torch.rand(ROWS, FEATURES, generator=generator) < 0.5] = 0.0
    data[:, 0] = 1.0  # no row without a norm
    port = Port()
    for weight in port.parameters():
        weight.data *= 3  # wide codes: gradients on both sides of the bound
    initial = port.named_weights()
    optimiser = torch.optim.Adam(port.parameters(), lr=1e-4)
    steps, norms = [], []
    for _ in range(STEPS):
        chosen = torch.randperm(ROWS, generator=generator)[:BATCH]
        mask = (torch.rand(BATCH, UNITS, generator=generator) < 0.5).double()
        x = data[chosen]
        rebuilt, z, memberships = port(x, mask)
        reconstruction = ((x - rebuilt) ** 2).mean()
        energy, penalty = energy_and_penalty(z, memberships)
        loss = reconstruction + 0.1 * energy + 0.005 * penalty
        port.zero_grad()
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(port.parameters(), 5)))
        optimiser.step()
        steps.append({"rows": chosen.tolist(), "keep": array(mask), "loss": loss.item(),
                      "terms": [reconstruction.item(), energy.item(), penalty.item()]})
    print(f"norms of the gradient: {min(norms):.3f} to {max(norms):.3f}")
    assert 10 < sum(norm > 5 for norm in norms) < 30, "some steps are to be clipped, and some not"
    moved = max(numpy.abs(numpy.subtract(value["values"], initial[name]["values"])).max()
                for name, value in port.named_weights().items())
    assert moved > 1e-3
    fixture = {
        "made_by": f"train/tests/golden/port.py, torch {torch.__version__}, numpy {numpy.__version__}, f64",
        "choice": {"reconstruction": "mean", "determinant": "sqrt-detached", "energy_guard": "clamped",
                   "covariance_epsilon": TINY},
        "shape": {"features": FEATURES, "hidden": HIDDEN, "latent": CODE, "mixtures": COMPONENTS},
        "learning_rate": 1e-4, "clip": 5.0,
        "data": array(data), "initial": initial, "steps": steps, "final": port.named_weights(),
    }
    path = pathlib.Path(__file__).with_name("port.json")
    path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
