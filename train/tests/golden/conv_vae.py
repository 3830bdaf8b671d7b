"""Writes conv_vae.json: what the convolutional VAE computes, by PyTorch in f64 with autograd.

Written from a public notebook's architecture: Conv(1, C1, k3 s2 p1) BN ReLU, Conv(C1, C2, k3 s2 p1) BN ReLU,
flatten, two linear heads of L; linear L to 49 C2, ConvT(C2, C1, k4 s2 p1) BN ReLU, ConvT(C1, 1, k4 s2 p1). It has
C1 = 16, C2 = 32, L = 100; here they are small, and the images are as large as there.

    pip install -r requirements.txt && python conv_vae.py      # rewrites conv_vae.json beside this file

An array is {"shape": [...], "values": [...]}, C order; the shortest digits that read back exactly. Linear weights
and activations are in seedbed's order: [in, out], on pixels by row, column, channel. `torch_order` turns weights into
PyTorch's on the way in, so autograd turns the gradients back. Inputs are multiples of 1/256 or 1/1024.
"""

import json
import math
import pathlib
import random

import torch
from torch.nn import functional

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

CHANNELS, LATENT, ROWS, PIXELS = (2, 3), 3, 3, 28
EPSILON, MOMENTUM = 1e-5, 0.1


# ---- inputs -------------------------------------------------------------------------------------


def grid(numbers, low, high, *shape):
    """Uniform multiples of 1/1024 in [low, high]."""
    count = math.prod(shape)
    values = [numbers.randint(round(low * 1024), round(high * 1024)) / 1024 for _ in range(count)]
    return torch.tensor(values).reshape(shape)


def images(numbers, rows):
    """A bright rectangle on black, its pixels multiples of 1/256: [rows, 784]."""
    x = torch.zeros(rows, PIXELS, PIXELS)
    for image in x:
        top, left = numbers.randint(0, 12), numbers.randint(0, 12)
        height, width = numbers.randint(8, 16), numbers.randint(8, 16)
        for i in range(top, min(top + height, PIXELS)):
            for j in range(left, min(left + width, PIXELS)):
                image[i, j] = numbers.randint(64, 256) / 256
    return x.reshape(rows, -1)


def normalisation(numbers, name, channels, into):
    into[f"{name}.weight"] = grid(numbers, 0.5, 1.5, channels)
    into[f"{name}.bias"] = grid(numbers, -0.5, 0.5, channels)
    into[f"{name}.running_mean"] = grid(numbers, -0.5, 0.5, channels)
    into[f"{name}.running_var"] = grid(numbers, 0.5, 2.0, channels)


def network(numbers):
    """Every parameter and running statistic, in the order of seedbed's."""
    (first, second), flat = CHANNELS, 49 * CHANNELS[1]
    parameters = {}
    parameters["encoder.0.weight"] = grid(numbers, -0.5, 0.5, first, 1, 3, 3)
    normalisation(numbers, "encoder.norm.0", first, parameters)
    parameters["encoder.1.weight"] = grid(numbers, -0.5, 0.5, second, first, 3, 3)
    normalisation(numbers, "encoder.norm.1", second, parameters)
    parameters["heads.weight"] = grid(numbers, -0.125, 0.125, flat, 2 * LATENT)
    parameters["heads.bias"] = grid(numbers, -0.25, 0.25, 2 * LATENT)
    parameters["decoder.0.weight"] = grid(numbers, -0.5, 0.5, LATENT, flat)
    parameters["decoder.0.bias"] = grid(numbers, -0.25, 0.25, flat)
    parameters["decoder.1.weight"] = grid(numbers, -0.5, 0.5, second, first, 4, 4)
    parameters["decoder.2.weight"] = grid(numbers, -0.5, 0.5, first, 1, 4, 4)
    normalisation(numbers, "decoder.norm.1", first, parameters)
    return parameters


# ---- the model ----------------------------------------------------------------------------------


def torch_order(name, parameter):
    second = CHANNELS[1]
    if name == "heads.weight":
        return parameter.reshape(49, second, -1).transpose(0, 1).reshape(49 * second, -1).T
    if name == "decoder.0.weight":
        return parameter.reshape(LATENT, 49, second).transpose(1, 2).reshape(LATENT, -1).T
    if name == "decoder.0.bias":
        return parameter.reshape(49, second).T.reshape(-1)
    return parameter


def channels_last(activation):
    return activation.permute(0, 2, 3, 1)


def normalise(h, p, name, training):
    """Batch normalisation and ReLU; moves p's running statistics in training."""
    mean, variance = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    return functional.relu(functional.batch_norm(h, mean, variance, weight, bias, training, MOMENTUM, EPSILON))


def encode(x, p, training):
    conv = {"stride": 2, "padding": 1}
    steps = {}
    x = x.reshape(-1, 1, PIXELS, PIXELS)
    steps["encoder.0"] = functional.conv2d(x, p["encoder.0.weight"], **conv)
    steps["encoder.norm.0"] = normalise(steps["encoder.0"], p, "encoder.norm.0", training)
    steps["encoder.1"] = functional.conv2d(steps["encoder.norm.0"], p["encoder.1.weight"], **conv)
    steps["encoder.norm.1"] = normalise(steps["encoder.1"], p, "encoder.norm.1", training)
    heads = functional.linear(steps["encoder.norm.1"].flatten(1), p["heads.weight"], p["heads.bias"])
    return heads, {name: channels_last(step) for name, step in steps.items()}


def decode(z, p, training):
    conv = {"stride": 2, "padding": 1}
    steps = {}
    flat = functional.linear(z, p["decoder.0.weight"], p["decoder.0.bias"])
    steps["decoder.0"] = flat.reshape(-1, CHANNELS[1], 7, 7)
    steps["decoder.1"] = functional.conv_transpose2d(steps["decoder.0"], p["decoder.1.weight"], **conv)
    steps["decoder.norm.1"] = normalise(steps["decoder.1"], p, "decoder.norm.1", training)
    output = functional.conv_transpose2d(steps["decoder.norm.1"], p["decoder.2.weight"], **conv)
    return output.flatten(1), {name: channels_last(step) for name, step in steps.items()}


def objective(x, heads, output, choice):
    """Loss, reconstruction and divergence, the two as they stand in the loss."""
    mean, log_variance = heads[:, :LATENT], heads[:, LATENT:]
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
    if choice["loss"] == "notebook":
        reconstruction = functional.mse_loss(output, x)
    else:
        divergence = divergence / len(x)
        if choice["decoder"] == "bernoulli":
            reconstruction = functional.binary_cross_entropy_with_logits(output, x, reduction="sum") / len(x)
        else:
            reconstruction = -torch.distributions.Normal(output, 1.0).log_prob(x).sum() / len(x)
    return reconstruction + divergence, reconstruction, divergence


def is_running(name):
    return ".running_" in name


def step(x, noise, parameters, choice):
    """One training pass; moves the running statistics of `parameters` and fills the gradients of the others."""
    p = {name: torch_order(name, value) for name, value in parameters.items()}
    heads, steps = encode(x, p, True)
    mean, log_variance = heads[:, :LATENT], heads[:, LATENT:]
    output, decoded = decode(mean + (0.5 * log_variance).exp() * noise, p, True)
    loss, reconstruction, divergence = objective(x, heads, output, choice)
    loss.backward()
    return {"loss": loss, "reconstruction": reconstruction, "divergence": divergence}, heads, output, steps | decoded


def leaves(parameters):
    return {name: value.clone().requires_grad_(not is_running(name)) for name, value in parameters.items()}


# ---- the fixture --------------------------------------------------------------------------------

CHOICES = {
    "notebook": {"decoder": "gaussian", "loss": "notebook"},
    "gaussian": {"decoder": "gaussian", "loss": "elbo"},
    "bernoulli": {"decoder": "bernoulli", "loss": "elbo"},
}


def array(tensor):
    tensor = tensor.detach()
    if tensor.dim() == 0:
        return tensor.item()
    # whole numbers without their ".0": most of an image is black
    values = [int(v) if v == int(v) else v for v in tensor.reshape(-1).tolist()]
    return {"shape": list(tensor.shape), "values": values}


def arrays(tensors):
    return {name: array(tensor) for name, tensor in tensors.items()}


def one_step(x, noise, parameters):
    result = {}
    for name, choice in CHOICES.items():
        p = leaves(parameters)
        terms, heads, output, steps = step(x, noise, p, choice)
        gradients = {n: torch.zeros_like(v) if is_running(n) else v.grad for n, v in p.items()}
        result[name] = {"choice": choice, "terms": arrays(terms), "gradients": arrays(gradients)}
    # the pass itself is the same for every loss
    running = {n: v for n, v in p.items() if is_running(n)}
    shared = {"heads": heads, "output": output, **steps}
    with torch.no_grad():
        ordered = {n: torch_order(n, v) for n, v in p.items()}
        scored_heads, _ = encode(x, ordered, False)
        scored, _ = decode(scored_heads[:, :LATENT], ordered, False)
    result |= {"forward": arrays(shared), "running": arrays(running)}
    result["scoring"] = arrays({"heads": scored_heads, "output_at_mean": scored})
    return result


def ten_steps(numbers, data, parameters, choice):
    p = leaves(parameters)
    optimiser = torch.optim.Adam([v for n, v in p.items() if not is_running(n)], lr=1e-3)
    steps = []
    for _ in range(10):
        rows = numbers.sample(range(len(data)), ROWS)
        noise = grid(numbers, -2, 2, ROWS, LATENT)
        optimiser.zero_grad()
        terms, *_ = step(data[rows], noise, p, choice)
        optimiser.step()
        steps.append({"rows": rows, "noise": array(noise), "loss": terms["loss"].item()})
    return {"choice": choice, "learning_rate": 1e-3, "steps": steps, "final": arrays(p)}


def main():
    numbers = random.Random(1)
    parameters = network(numbers)
    data = images(numbers, 6)
    noise = grid(numbers, -2, 2, ROWS, LATENT)
    fixture = {
        "made_by": f"train/tests/golden/conv_vae.py, torch {torch.__version__}, f64",
        "shape": {"channels": CHANNELS, "latent": LATENT},
        "parameters": arrays(parameters),
        "data": array(data),
        "noise": array(noise),
        "step": one_step(data[:ROWS], noise, parameters),
        "trajectory": ten_steps(numbers, data, parameters, CHOICES["bernoulli"]),
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(fixture, separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
