# SPDX-License-Identifier: MIT
"""Shikaku's files of weights in PyTorch, from version 1.13 on; nothing else is needed.

    model = shikaku_torch.load("run/best.safetensors")    # a module in evaluation mode
    logits = model(pixels)                                # (B, C, H, W), 0 to 1 -> (B, classes)
    model.class_names, model.size, model.fit              # as the training had them

    model = shikaku_torch.load("run/last.ckpt")
    optimizer = shikaku_torch.adam("run/last.ckpt", model)  # torch.optim.Adam with the moments of the run
"""

import json
import struct

import pytorch_models
import torch
from torch import nn

TYPES = {"F32": torch.float32, "F64": torch.float64, "F16": torch.float16, "BF16": torch.bfloat16}


def read(path):
    """The metadata and {name: tensor} of a safetensors file."""
    with open(path, "rb") as file:
        content = bytearray(file.read())
    if len(content) < 8 or struct.unpack("<Q", content[:8])[0] > len(content) - 8:
        raise ValueError(f"{path} is no safetensors file, or is cut off")
    data = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:data])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if entry["dtype"] not in TYPES or not begin <= end <= len(content) - data:
            raise ValueError(f"{path}: tensor '{name}' is none of {', '.join(TYPES)}, or lies outside the file")
        values = torch.frombuffer(content[data + begin : data + end], dtype=TYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return metadata, tensors


def _channels(metadata, key, otherwise, channels):
    values = metadata[key].split(",") if key in metadata else [otherwise] * channels
    return torch.tensor([float(x) for x in values]).reshape(1, -1, 1, 1)


class Classifier(nn.Module):
    """A model of a file, with its normalisation inside; `net` is the module whose state_dict the file has."""

    def __init__(self, net, metadata):
        super().__init__()
        channels = int(metadata["channels"])
        self.net = net
        self.register_buffer("mean", _channels(metadata, "mean", 0, channels), persistent=False)
        self.register_buffer("deviation", _channels(metadata, "std", 1, channels), persistent=False)
        self.class_names = json.loads(metadata.get("class_names", "null"))
        self.size = int(metadata["height"]), int(metadata["width"])
        self.fit = metadata.get("fit", "stretch")

    def forward(self, pixels):
        """pixels: (B, C, H, W), 0 to 1 -> logits (B, classes)"""
        return self.net((pixels - self.mean) / self.deviation)


def load(path):
    """The model of a file that Shikaku wrote, in evaluation mode."""
    metadata, tensors = read(path)
    if "model" not in metadata:
        raise ValueError(f"{path} does not say what model it has: Shikaku has not written it")
    shape = tuple(int(metadata[key]) for key in ("channels", "height", "width"))
    net = pytorch_models.build(metadata["model"], shape, int(metadata["classes"]))
    others = ("optimizer.", "epoch.")
    net.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(others)}, strict=True)
    return Classifier(net, metadata).eval()


def adam(path, model):
    """torch.optim.Adam for model.net, with the settings, steps and moments of a checkpoint (last.ckpt)."""
    metadata, tensors = read(path)
    if metadata.get("kind") != "checkpoint":
        raise ValueError(f"{path} is no checkpoint: the optimizer's state is in a run's last.ckpt")
    betas = float(metadata["beta1"]), float(metadata["beta2"])
    optimizer = torch.optim.Adam(model.net.parameters(), float(metadata["lr"]), betas, float(metadata["eps"]))
    for name, parameter in model.net.named_parameters():
        optimizer.state[parameter] = {
            "step": torch.tensor(float(metadata["optimizer.steps"])),
            "exp_avg": tensors[f"optimizer.exp_avg.{name}"].clone(),
            "exp_avg_sq": tensors[f"optimizer.exp_avg_sq.{name}"].clone(),
        }
    return optimizer
