# SPDX-License-Identifier: MIT
"""Writes tests/golden/*.bin: what PyTorch computes for small models. tests/golden.c reads them.

    /usr/bin/python3 scripts/make_golden.py            # write the files (CASES holds the seeds) and check them
    /usr/bin/python3 scripts/make_golden.py --search 200 # look for better seeds, write nothing

A file, little-endian, u32 unless said otherwise:
    8 bytes "SHKGOLD\\n", version 1
    description: length in bytes, bytes
    channels, height, width, classes, batch
    label of each sample
    number of tensors; then of each: name (length, bytes), ndim, dims, f32 data
Tensors: images (B, H, W, C); NAME, the initial values of each parameter; grad/NAME, its gradient at step 1 (mean loss
of the batch, computed in f64); losses_f32 and losses_f64, of 20 Adam steps (lr 1e-3) on the same batch, before each
step, computed in f32 and in f64.
"""

import argparse
import copy
import os
import struct
import sys

import numpy as np
import torch
from torch.nn import functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import pytorch_models  # noqa: E402

BATCH, STEPS = 8, 20
# An implementation in f32 may differ from f64 by ten times these; the seeds are such that PyTorch stays within them.
# Except tinyvit-nopos: its empty patches are all the same, so are their rounding errors, which add up (up to 4e-6).
GRADIENT_GOAL, LOSS_GOAL = 1e-6, 1e-5
# name: (description, (C, H, W), classes, seed of weights and batch); dropout is off everywhere
CASES = {
    "tinycnn": ("cnn:channels=16-32,hidden=128", (1, 32, 32), 9, 20),
    "tinyvit": ("vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=post,pos=learned,dropout=0,act=relu",
                (1, 32, 32), 9, 51),
    "tinyvit-pre": ("vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=pre,pos=learned,dropout=0,act=gelu",
                    (1, 32, 32), 9, 51),
    "tinyvit-nopos": ("vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=post,pos=none,dropout=0,act=relu",
                      (1, 32, 32), 9, 12),
    "cnn-27x35": ("cnn:channels=12-20,hidden=50", (3, 27, 35), 7, 39),
    "vit-35x25": ("vit:dim=48,depth=4,heads=3,patch=5,ff=100,pool=mean,norm=pre,pos=learned,dropout=0,act=gelu",
                  (3, 35, 25), 11, 13),
    "vit-21x33": ("vit:dim=40,depth=4,heads=5,patch=3,ff=72,pool=cls,norm=post,pos=learned,dropout=0,act=relu",
                  (2, 21, 33), 13, 5),
    "net-24x21": ("net:stem=conv(12,5,stride=2,bias=no) relu layer1=2*(sum(conv1=conv(12) relu conv2=conv(12)) relu) "
                  "layer2=(sum(conv1=conv(20,stride=2) gelu conv2=conv(20,7) | downsample=conv(20,1,stride=2)) silu) "
                  "max_pool(2) mean fc=linear(classes)", (3, 24, 21), 6, 28),
    "hybrid-24x21": ("net:stem=conv(16,5,stride=2,bias=no) relu max_pool(2) tokens positions(sincos) pos=positions "
                     "layers=2*encoder(2,40,norm=pre,act=gelu) norm=ln attention_pool=seq_pool fc=linear(classes)",
                     (3, 24, 21), 6, 11),
}


def make_model(name, seed):
    """The case's module with its initial weights; in shapes other than 32x32, what starts at 0 or 1 is moved off it."""
    description, shape, classes, _ = CASES[name]
    torch.manual_seed(seed)
    model = pytorch_models.build(description, shape, classes)
    if shape[1:] != (32, 32):
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "norm" in key or key.endswith(("in_proj_bias", "out_proj.bias")):
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def make_batch(name, seed):
    """images (B, H, W, C) f32, labels (B,) u32"""
    _, (c, h, w), classes, _ = CASES[name]
    rng = np.random.default_rng(seed)
    if (c, h, w) == (1, 32, 32):
        return pytorch_models.squares(BATCH, rng)
    return rng.random((BATCH, h, w, c), np.float32), rng.integers(0, classes, BATCH).astype(np.uint32)


def train(model, images, labels):
    """The gradients of step 1 and the losses of all steps, computed in the model's own precision, as f64 arrays."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(next(model.parameters()).dtype)
    y = torch.from_numpy(labels.astype(np.int64))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses, gradients = [], None
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        if gradients is None:
            gradients = {key: p.grad.double().numpy().copy() for key, p in model.named_parameters()}
        losses.append(loss.item())
        optimizer.step()
    return gradients, np.array(losses)


def scale_of(gradient):
    """Its norm; 1 where it is rounding alone, as that of a bias that a softmax does not see."""
    norm = np.linalg.norm(gradient)
    return norm if norm > 1e-12 else 1.0


def disagreement(run, reference):
    """The largest norm(difference)/norm of a gradient tensor, its name, and the largest difference of a loss."""
    (gradients, losses), (expected, expected_losses) = run, reference
    worst = max((np.linalg.norm(gradients[key] - g) / scale_of(g), key) for key, g in expected.items())
    return worst[0], worst[1], np.abs(losses - expected_losses).max()


def rounded(model):
    """A copy in f64 with every weight moved by about one f32 rounding, to show nearness to a kink of ReLU or a tie."""
    model = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(99)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1 + 2.0**-24 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model


def examine(name, seed):
    """(f32 run, f64 run, {"f32", "native", "rounded": disagreement with f64}) with one seed."""
    model, (images, labels) = make_model(name, seed), make_batch(name, seed)
    f64 = train(copy.deepcopy(model).double(), images, labels)
    f32 = train(copy.deepcopy(model), images, labels)
    with torch.backends.mkldnn.flags(enabled=False):
        native = train(copy.deepcopy(model), images, labels)
    perturbed = train(rounded(model), images, labels)
    checks = {"f32": f32, "native": native, "rounded": perturbed}
    return f32, f64, {key: disagreement(run, f64) for key, run in checks.items()}


def score(checks):
    """The worst disagreement as a share of its goal."""
    return max(max(gradient / GRADIENT_GOAL, loss / LOSS_GOAL) for gradient, _, loss in checks.values())


def u32(*values):
    return struct.pack(f"<{len(values)}I", *values)


def text(string):
    data = string.encode("ascii")
    return u32(len(data)) + data


def write(path, name, seed, f32, f64):
    description, (c, h, w), classes, _ = CASES[name]
    images, labels = make_batch(name, seed)
    tensors = {"images": images}
    tensors.update((key, p.detach().numpy()) for key, p in make_model(name, seed).named_parameters())
    tensors.update((f"grad/{key}", g) for key, g in f64[0].items())
    tensors.update(losses_f32=f32[1], losses_f64=f64[1])
    data = b"SHKGOLD\n" + u32(1) + text(description) + u32(c, h, w, classes, BATCH, *labels, len(tensors))
    for key, tensor in tensors.items():
        data += text(key) + u32(tensor.ndim, *tensor.shape) + np.ascontiguousarray(tensor, "<f4").tobytes()
    with open(path + ".tmp", "wb") as file:
        file.write(data)
    os.replace(path + ".tmp", path)
    return len(data)


def read(path):
    """(description, (C, H, W), classes, labels, {name: array}) of a golden file."""
    with open(path, "rb") as file:
        data = file.read()
    position = 0

    def take(n):
        nonlocal position
        if position + n > len(data):
            raise ValueError(f"{path} is cut short")
        position += n
        return data[position - n : position]

    def number():
        return struct.unpack("<I", take(4))[0]

    if take(8) != b"SHKGOLD\n" or number() != 1:
        raise ValueError(f"{path} is not a golden file of version 1")
    description = take(number()).decode("ascii")
    c, h, w, classes, batch = (number() for _ in range(5))
    labels = np.array([number() for _ in range(batch)], np.uint32)
    tensors = {}
    for _ in range(number()):
        key = take(number()).decode("ascii")
        dims = [number() for _ in range(number())]
        tensors[key] = np.frombuffer(take(4 * int(np.prod(dims))), "<f4").reshape(dims).copy()
    if position != len(data):
        raise ValueError(f"{path} has {len(data) - position} bytes after its end")
    return description, (c, h, w), classes, labels, tensors


def verify(path):
    """Reads a file back, trains on what it holds in f64, and compares; returns the number of parameters."""
    description, shape, classes, labels, tensors = read(path)
    model = pytorch_models.build(description, shape, classes)
    state = {key: torch.from_numpy(tensors[key]) for key in model.state_dict()}
    model.load_state_dict(state)
    assert len(tensors) == 2 * len(state) + 3
    gradients, losses = train(model.double(), tensors["images"], labels)
    for key, gradient in gradients.items():
        assert np.array_equal(gradient.astype(np.float32), tensors[f"grad/{key}"]), (path, key)
    assert np.array_equal(losses.astype(np.float32), tensors["losses_f64"]), path
    return sum(p.numel() for p in model.parameters())


def search(names, seeds):
    for name in names:
        results = []
        for seed in range(seeds):
            results.append((score(examine(name, seed)[2]), seed))
        results.sort()
        best = ", ".join(f"{seed} ({value:.2f})" for value, seed in results[:5])
        print(f"{name}: best seeds (worst disagreement as a share of the goal): {best}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Write tests/golden/*.bin with PyTorch.")
    parser.add_argument("--search", type=int, metavar="N", help="try seeds 0..N-1, print the best, write nothing")
    parser.add_argument("--out", default=os.path.join(os.path.dirname(__file__), "..", "tests", "golden"))
    parser.add_argument("cases", nargs="*", help=f"default: {' '.join(CASES)}")
    options = parser.parse_args()
    names = options.cases or list(CASES)
    for name in names:
        if name not in CASES:
            parser.error(f"no case is called '{name}'; there are {', '.join(CASES)}")
    torch.set_num_threads(1)
    if options.search:
        search(names, options.search)
        return
    os.makedirs(options.out, exist_ok=True)
    print(f"{'case':14} {'parameters':>10} {'bytes':>8} {'seed':>4}  {'check':8} {'gradient':>9} {'loss':>9}"
          "  worst tensor")
    for name in names:
        seed, path = CASES[name][3], os.path.join(options.out, name + ".bin")
        f32, f64, checks = examine(name, seed)
        size = write(path, name, seed, f32, f64)
        head = f"{name:14} {verify(path):10} {size:8} {seed:4}"
        for check, (gradient, key, loss) in checks.items():
            within = gradient < GRADIENT_GOAL and loss < LOSS_GOAL
            print(f"{head}  {check:8} {gradient:9.2e} {loss:9.2e}  {key}{'' if within else '  ABOVE THE GOAL'}")
            head = " " * len(head)


if __name__ == "__main__":
    main()
