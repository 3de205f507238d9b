# SPDX-License-Identifier: MIT
"""torch_logits.py DIR...: PyTorch computes the logits of each DIR/pixels.u8 with DIR/model.safetensors, in batches of 1, 2 and
100, and prints the largest difference from DIR/logits.f32 of all."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import shikaku_torch  # noqa: E402

IMAGES = 100


def worst_of(folder):
    model = shikaku_torch.load(folder / "model.safetensors")
    h, w = model.size
    raw = torch.frombuffer(bytearray((folder / "pixels.u8").read_bytes()), dtype=torch.uint8)
    pixels = raw.reshape(IMAGES, h, w, -1).permute(0, 3, 1, 2) / 255
    wanted = torch.frombuffer(bytearray((folder / "logits.f32").read_bytes()), dtype=torch.float32).reshape(IMAGES, -1)
    if model.class_names != [f"it's \"{i}\" é" for i in range(wanted.shape[1])]:
        raise ValueError(f"{folder}: other names of classes: {model.class_names}")
    differences = []
    with torch.no_grad():
        for n in (1, 2, IMAGES):
            logits = torch.cat([model(batch) for batch in pixels.split(n)])
            differences.append((logits - wanted).abs().max().item())
    return max(differences)


print(f"{max(worst_of(Path(folder)) for folder in sys.argv[1:]):.2e}")
