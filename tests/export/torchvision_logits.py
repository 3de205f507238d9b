# SPDX-License-Identifier: MIT
"""torchvision_logits.py DIR: torchvision's resnet18 with weights and statistics of its own as DIR/resnet18.safetensors, a picture
DIR/resnet18.png, and its logits as DIR/resnet18.json.
torchvision_logits.py DIR PREDICTED: the largest difference of these from what `shikaku predict --json --logits` has printed."""

import json
import struct
import sys
from pathlib import Path

import torch
import torchvision

SIDE, CLASSES = 64, 7


def safetensors(state):
    """The bytes of such a file, as other tools write them."""
    header, data = {}, b""
    for name, tensor in state.items():
        raw = tensor.contiguous().numpy().tobytes()
        kind = "I64" if tensor.dtype == torch.int64 else "F32"
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write(folder):
    torch.manual_seed(1)
    model = torchvision.models.resnet18(weights=None, num_classes=CLASSES)
    pixels = torch.randint(0, 256, (3, SIDE, SIDE), dtype=torch.uint8)
    with torch.no_grad():
        model.train()(torch.rand(8, 3, SIDE, SIDE))  # statistics
        logits = model.eval()(pixels[None] / 255)[0]
    (folder / "resnet18.safetensors").write_bytes(safetensors(model.state_dict()))
    torchvision.io.write_png(pixels, str(folder / "resnet18.png"))
    (folder / "resnet18.json").write_text(json.dumps(logits.tolist()))


folder = Path(sys.argv[1])
if len(sys.argv) == 2:
    write(folder)
else:
    wanted = json.loads((folder / "resnet18.json").read_text())
    (found,) = json.loads((folder / sys.argv[2]).read_text())
    print(f"{max(abs(a - b) for a, b in zip(found['logits'], wanted, strict=True)):.2e}")
