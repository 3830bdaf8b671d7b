"""A method in PyTorch: the squared error of a small autoencoder."""

import json
import pathlib
import sys

import numpy as np
import torch

folder = pathlib.Path(sys.argv[-1])
job = json.loads((folder / "job.json").read_text())
torch.manual_seed(job["seed"])
torch.set_num_threads(job["threads"])
torch.use_deterministic_algorithms(True)
train, test = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ["train", "test"])
width = train.shape[1]
model = torch.nn.Sequential(torch.nn.Linear(width, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2), torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, width))
optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
curve = ["epoch,loss"]
for epoch in range(1, 61):
    loss = ((model(train) - train) ** 2).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    curve.append(f"{epoch},{loss.item()}")
    print(f"progress {epoch}/60 loss {loss.item()}", flush=True)
with torch.no_grad():
    scores = ((model(test) - test) ** 2).sum(dim=1)
np.save(folder / "scores.npy", scores.double().numpy())
(folder / "curve.csv").write_text("\n".join(curve) + "\n")
