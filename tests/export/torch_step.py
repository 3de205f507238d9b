# SPDX-License-Identifier: MIT
"""torch_step.py IMAGES LABELS BEFORE AFTER: PyTorch takes one step of Adam on all of an IDX set from the checkpoint BEFORE, and
prints the largest difference of a weight from AFTER, in steps of the learning rate; 0.01 of a step is a rounding."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import shikaku_torch  # noqa: E402

images, labels, before, after = sys.argv[1:]
model = shikaku_torch.load(before)
optimizer = shikaku_torch.adam(before, model)
pixels = torch.frombuffer(bytearray(Path(images).read_bytes()[16:]), dtype=torch.uint8).reshape(-1, 1, *model.size) / 255
wanted = torch.frombuffer(bytearray(Path(labels).read_bytes()[8:]), dtype=torch.uint8).long()
torch.nn.functional.cross_entropy(model.train()(pixels), wanted).backward()
optimizer.step()
there = shikaku_torch.read(after)[1]
worst = max((there[name] - value).abs().max().item() for name, value in model.net.state_dict().items())
print(f"{worst / optimizer.param_groups[0]['lr']:.2e}")
