# SPDX-License-Identifier: MIT
"""accuracy.py cut FOLDER: the first 1,000 test images of Fashion-MNIST as IDX, as plain bytes and labels.
accuracy.py torch FOLDER WEIGHTS: PyTorch's accuracy on them, with the weights in a module of its own."""

import gzip
import os
import struct
import sys

DATA, COUNT, PIXELS = "/usr/share/datasets/fashion-mnist", 1000, 28 * 28


def cut(folder):
    os.makedirs(f"{folder}/idx")
    for kind, head, size in (("images-idx3", 16, PIXELS), ("labels-idx1", 8, 1)):
        with gzip.open(f"{DATA}/t10k-{kind}-ubyte.gz") as file:
            content = file.read(head + COUNT * size)
        with open(f"{folder}/idx/t10k-{kind}-ubyte", "wb") as file:
            file.write(content[:4] + struct.pack(">I", COUNT) + content[8:])
        with open(f"{folder}/{kind[:6]}.u8", "wb") as file:
            file.write(content[head:])


def pytorch(folder, weights):
    import numpy
    import torch

    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
    import shikaku_torch

    images = numpy.fromfile(f"{folder}/images.u8", numpy.uint8).reshape(COUNT, 1, 28, 28)
    labels = torch.from_numpy(numpy.fromfile(f"{folder}/labels.u8", numpy.uint8).astype(numpy.int64))
    with torch.no_grad():
        logits = shikaku_torch.load(weights)(torch.from_numpy(images).float() / 255)
    print((logits.argmax(1) == labels).sum().item())


if __name__ == "__main__":
    (cut if sys.argv[1] == "cut" else pytorch)(*sys.argv[2:])
