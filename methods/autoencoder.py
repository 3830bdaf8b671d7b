"""A plain autoencoder in PyTorch, to copy and change: rows are scored by the squared error of their reconstruction."""

import json
import pathlib
import sys

import numpy as np
import torch

folder = pathlib.Path(sys.argv[-1])
job = json.loads((folder / "job.json").read_text())
settings = job["settings"]
torch.manual_seed(job["seed"])
torch.set_num_threads(job["threads"])
train = torch.from_numpy(np.load(folder / "train.npy"))
test = torch.from_numpy(np.load(folder / "test.npy"))

hidden, code = settings["hidden"], settings["code"]
model = torch.nn.Sequential(
    torch.nn.Linear(train.shape[1], hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, code),
    torch.nn.Linear(code, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, train.shape[1]),
)
optimizer = torch.optim.Adam(model.parameters(), lr=settings["learning-rate"])

for epoch in range(settings["epochs"]):
    total = 0.0
    for batch in train[torch.randperm(len(train))].split(settings["batch-size"]):
        loss = (model(batch) - batch).square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    print(f"progress {epoch + 1}/{settings['epochs']} loss {total / len(train)}", flush=True)

with torch.no_grad():
    scores = torch.cat([(model(rows) - rows).square().sum(dim=1) for rows in test.split(4096)])
np.save(folder / "scores.npy", scores.numpy().astype(np.float64))
