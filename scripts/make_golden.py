# SPDX-License-Identifier: MIT
"""Writes tests/golden: what PyTorch computes for small models, and for nets that are drawn at random. tests/golden.c
reads the files.

    /usr/bin/python3 scripts/make_golden.py            # write the files (CASES holds the seeds) and check them
    /usr/bin/python3 scripts/make_golden.py --search 200 # look for better seeds, write nothing
    /usr/bin/python3 scripts/make_golden.py random     # the nets of random_nets.py alone

A file, little-endian, u32 unless said otherwise:
    8 bytes "SHKGOLD\\n", version 1
    description: length in bytes, bytes
    channels, height, width, classes, batch
    label of each sample
    number of tensors; then of each: name (length, bytes), ndim, dims, f32 data
Tensors: images (B, H, W, C); NAME, the initial values of each parameter and running statistic; grad/NAME, a parameter's
gradient at step 1 (mean loss of the batch, computed in f64); running/NAME, a running statistic behind step 1; losses_f32
and losses_f64, of 20 Adam steps (lr 1e-3) on the same batch, before each step, computed in f32 and in f64; where there
are running statistics evaluation_f32 and evaluation_f64, the loss of an evaluation before the first step.
error/NAME is the error of PyTorch's own f32 in grad/NAME or running/NAME, the largest of some evaluations, where three times
that is above the bound of tests/test_parity.c: norm(difference)/norm, where a gradient's norm counts as at least a two-hundredth
of that of all gradients together: before a batch normalisation that of a bias is none. error/losses is likewise the largest
difference of one of the losses.

What that error is. Where a net normalises what hardly varies, all roundings before are multiplied, in any implementation alike,
and the error is mostly chance. One evaluation in f32 is one draw; with other orders of samples the roundings of each sample
remain. So weights and images are moved by an ulp or so as well, which changes what they are all rounded to and hardly changes the
net; f64 is evaluated at the same places. The largest of 12 such draws is 1.2 to 2.7 times their root mean square (random nets 6, 8
and 22), and so the bound 3.6 to 8 times that. Shikaku's error, of one draw, is held against it: errors like PyTorch's pass
always, errors three times as large nearly always, and only much larger ones are sure to be found; to tell three times from four,
one would compare means over many draws of both. A draw beside a kink (of ReLU, a tie of a pool) would make the bound loose: then
the seed is refused. So are those, by --search, with which some roundings of the weights change a loss much.
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
from random_nets import JOINED, random_net  # noqa: E402

BATCH, STEPS = 8, 20
# An implementation in f32 may differ from f64 by ten times these; the seeds are such that PyTorch stays within them.
# Except tinyvit-nopos: its empty patches are all the same, so are their rounding errors, which add up (up to 4e-6).
GRADIENT_GOAL, LOSS_GOAL = 1e-6, 1e-5
GRADIENT_BOUND, RUNNING_BOUND, LOSS_BOUND = 1e-5, 1e-6, 1e-4  # of tests/test_parity.c
DRAWS, KINK = 12, 8  # of PyTorch's own error; how many times their median the largest may be
LEAST_SHARE = 5e-3  # of a gradient's norm in that of all
RESIDUAL = "sum(conv1=conv({0},bias=no) bn1=bn relu conv2=conv({0},bias=no) bn2=bn) relu"
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
    "lenet5": ("lenet5", (1, 16, 17), 7, 38),
    "resnet20-16x16": ("resnet20:width=4", (3, 16, 16), 10, 11),
    "resnet18": ("resnet18:width=2", (3, 17, 15), 5, 1),
    "resnet18-large": ("resnet18:stem=large,width=2", (1, 48, 40), 5, 1),
    "mobilenet-tiny": ("mobilenet-tiny:width=4", (3, 16, 14), 6, 2),
    "convmixer": ("convmixer:dim=18,depth=3", (3, 16, 12), 5, 3),
    "cct": ("cct:dim=20", (3, 16, 18), 6, 7),
    "cct-sincos": ("cct:dim=16,depth=1,heads=4,pos=sincos", (1, 14, 15), 4, 4),
    "vit-tiny": ("vit-tiny:dim=12", (3, 16, 12), 10, 2),
    "bn-18x14": ("net:stem=conv(18,bias=no) bn relu " + RESIDUAL.format(18) + " conv(34,stride=2,bias=no) "
                 "bn(eps=1e-3,momentum=0.3) silu conv(20) bn(momentum=1) gelu mean linear(classes)", (2, 18, 14), 5, 3),
    "bn-rows-8x9": ("net:flatten linear(40) bn relu linear(24) bn(eps=1e-3,momentum=0.5) gelu "
                    "sum(linear(24) bn(momentum=0) silu) bn(momentum=1) linear(classes)", (1, 8, 9), 4, 10),
    "dense-14x11": ("net:stem=conv(12,bias=no) bn relu "
                    "block1=3*cat(norm1=bn relu conv1=conv(16,1,bias=no) norm2=bn relu conv2=conv(6,bias=no)) "
                    "bn relu conv(15,1,bias=no) avg_pool(2) "
                    "block2=cat(conv(16,1,bias=no) bn relu | conv(8,1) relu conv(12,bias=no) gelu | max_pool(3,1,1) conv(5,1,bias=no)) "
                    "bn relu mean linear(classes)", (3, 14, 11), 5, 11),
    "bn-pool-20x17": ("net:conv(8,5,stride=2) relu max_pool(2) bn conv(12) relu max_pool(2) bn flatten linear(20) bn relu "
                      "linear(classes)", (3, 20, 17), 6, 2),
}
NETS = {number: random_net(number) for number in range(45)}
RANDOM = {f"random/{number:02}": net for number, net in NETS.items() if number < JOINED or "cat(" in net[0]}
SEEDS = 4  # of which a random net takes the best


def case_of(name):
    """(description, (C, H, W), classes)"""
    if name in CASES:
        return CASES[name][:3]
    net, shape, classes = RANDOM[name]
    return "net:" + net, shape, classes


def seed_of(name):
    if name in CASES:
        return CASES[name][3]
    seeds = sorted(range(SEEDS), key=lambda seed: score(examine(name, seed)[2]))
    return next(seed for seed in seeds if not beside_kink(own_errors(make_model(name, seed), *make_batch(name, seed))))


def make_model(name, seed):
    """The case's module with its initial weights; in shapes other than 32x32, what starts at 0 or 1 is moved off it."""
    description, shape, classes = case_of(name)
    torch.manual_seed(seed)
    model = pytorch_models.build(description, shape, classes)
    if shape[1:] != (32, 32):
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "norm" in key or key.endswith(("in_proj_bias", "out_proj.bias")):
                    parameter.add_(0.1 * torch.randn_like(parameter))
            for module in model.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    for moved in (module.weight, module.bias, module.running_mean, module.running_var):
                        moved.add_(0.2 * torch.rand_like(moved))
    return model


def make_batch(name, seed):
    """images (B, H, W, C) f32, labels (B,) u32"""
    _, (c, h, w), classes = case_of(name)
    rng = np.random.default_rng(seed)
    if (c, h, w) == (1, 32, 32):
        return pytorch_models.squares(BATCH, rng)
    return rng.random((BATCH, h, w, c), np.float32), rng.integers(0, classes, BATCH).astype(np.uint32)


class Run:
    """A training in the model's own precision; all that is kept is f64. noise is added to gradients, as a share of their
    tensor's largest: where some are exactly zero, Adam makes steps of any rounding error."""

    def __init__(self, model, images, labels, noise=0):
        x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(next(model.parameters()).dtype)
        y = torch.from_numpy(labels.astype(np.int64))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        losses = []
        with torch.no_grad():
            self.evaluation = np.array([F.cross_entropy(model.eval()(x), y).item()])
        model.train()
        for step in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            if step == 0:
                self.gradients = {key: p.grad.double().numpy().copy() for key, p in model.named_parameters()}
                self.running = {key: b.double().numpy().copy() for key, b in running_of(model).items()}
            losses.append(loss.item())
            for p in model.parameters() if noise else ():
                p.grad.add_(noise * p.grad.abs().max() * torch.randn_like(p))
            optimizer.step()
        self.losses = np.array(losses)

    def tensors(self):
        return {**{f"grad/{key}": g for key, g in self.gradients.items()},
                **{f"running/{key}": r for key, r in self.running.items()}}


def running_of(model):
    """The running statistics by name."""
    return {key: b for key, b in model.named_buffers() if key.endswith(("running_mean", "running_var"))}


def errors(run, reference):
    """{"grad/NAME" or "running/NAME": norm(difference)/norm}"""
    every = np.sqrt(sum(np.sum(g**2) for g in reference.gradients.values()))
    found = {}
    for key, want in reference.tensors().items():
        unit = max(np.linalg.norm(want), LEAST_SHARE * every if key.startswith("grad/") else 0)
        found[key] = np.linalg.norm(run.tensors()[key] - want) / unit
    return found


def moved(model, images, draw):
    """Copies, their values moved by about an ulp."""
    model, rng = copy.deepcopy(model), np.random.default_rng(draw)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(torch.from_numpy(1 + 2.0**-22 * rng.uniform(-1, 1, p.shape)).float())
    return model, (images * (1 + 2.0**-22 * rng.uniform(-1, 1, images.shape))).astype(np.float32)


def own_errors(model, images, labels):
    """errors() of f32, and that of "losses": the largest and the median of DRAWS, with oneDNN and without, in other orders of
    samples."""
    drawn = []
    for draw in range(DRAWS):
        near, x = moved(model, images, draw)
        order = np.random.default_rng(draw).permutation(len(x))
        f64 = Run(copy.deepcopy(near).double(), x, labels)
        with torch.backends.mkldnn.flags(enabled=draw % 2 == 0):
            f32 = Run(near, x[order], labels[order])
        drawn.append({**errors(f32, f64), "losses": np.abs(f32.losses - f64.losses).max()})
    return {key: (max(d[key] for d in drawn), float(np.median([d[key] for d in drawn]))) for key in drawn[0]}


def bound_of(key):
    return LOSS_BOUND if key == "losses" else GRADIENT_BOUND if key.startswith("grad/") else RUNNING_BOUND


def beside_kink(own):
    """What has a draw that stands out."""
    return next((key for key, (error, median) in own.items() if error > max(KINK * median, bound_of(key))), None)


def disagreement(run, reference):
    """The largest error of a tensor, its name, and the largest difference of a loss."""
    worst = max((error, key) for key, error in errors(run, reference).items())
    losses = np.abs(run.losses - reference.losses).max()
    return worst[0], worst[1], max(losses, np.abs(run.evaluation - reference.evaluation)[0])


def rounded(model, size=2.0**-24, seed=99):
    """A copy in f64 with every weight moved by about one f32 rounding, to show nearness to a kink of ReLU or a tie."""
    model = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1 + size * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model


def examine(name, seed):
    """({"f32", "native": run}, f64 run, {"f32", "native", "rounded", "noise": disagreement with f64}) with one seed."""
    model, (images, labels) = make_model(name, seed), make_batch(name, seed)
    f64 = Run(copy.deepcopy(model).double(), images, labels)
    f32 = {"f32": Run(copy.deepcopy(model), images, labels)}
    with torch.backends.mkldnn.flags(enabled=False):
        f32["native"] = Run(copy.deepcopy(model), images, labels)
    checks = {**f32, "rounded": Run(rounded(model), images, labels),
              "noise": Run(copy.deepcopy(model).double(), images, labels, 2.0**-23)}
    return f32, f64, {key: disagreement(run, f64) for key, run in checks.items()}


def score(checks):
    """The worst disagreement as a share of its goal."""
    return max(max(gradient / GRADIENT_GOAL, loss / LOSS_GOAL) for gradient, _, loss in checks.values())


def unsteadiness(name, seed):
    """How much some roundings of the weights change a loss, as a share of its goal: much, where a step lies beside a kink."""
    model, (images, labels) = make_model(name, seed), make_batch(name, seed)
    f64 = Run(copy.deepcopy(model).double(), images, labels)
    runs = (Run(rounded(model, 2.0**-21, i), images, labels) for i in range(6))
    return max(np.abs(run.losses - f64.losses).max() for run in runs) / LOSS_GOAL


def u32(*values):
    return struct.pack(f"<{len(values)}I", *values)


def text(string):
    data = string.encode("ascii")
    return u32(len(data)) + data


def write(path, name, seed, f32, f64):
    description, (c, h, w), classes = case_of(name)
    images, labels = make_batch(name, seed)
    model = make_model(name, seed)
    tensors = {"images": images}
    tensors.update((key, p.detach().numpy()) for key, p in model.named_parameters())
    tensors.update((key, b.numpy()) for key, b in running_of(model).items())
    tensors.update(f64.tensors())
    own = own_errors(model, images, labels)
    if beside_kink(own):
        raise SystemExit(f"{name}: seed {seed} is beside a kink of {beside_kink(own)}")
    for key, (error, _) in own.items():
        if 3 * error > bound_of(key):
            tensors["error/" + key.split("/", 1)[-1]] = np.array([error])
    tensors.update(losses_f32=f32["f32"].losses, losses_f64=f64.losses)
    if f64.running:
        tensors.update(evaluation_f32=f32["f32"].evaluation, evaluation_f64=f64.evaluation)
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
    state = {key: torch.from_numpy(tensors[key]) for key in [*dict(model.named_parameters()), *running_of(model)]}
    model.load_state_dict(state, strict=False)
    run = Run(model.double(), tensors["images"], labels)
    wanted = {**run.tensors(), "losses_f64": run.losses}
    if run.running:
        wanted["evaluation_f64"] = run.evaluation
    for key, want in wanted.items():
        assert np.array_equal(want.astype(np.float32), tensors[key]), (path, key)
    return sum(p.numel() for p in model.parameters())


def search(names, seeds):
    for name in names:
        results = []
        for seed in range(seeds):
            results.append((max(score(examine(name, seed)[2]), unsteadiness(name, seed)), seed))
        results.sort()
        best = ", ".join(f"{seed} ({value:.2f})" for value, seed in results[:5])
        print(f"{name}: best seeds (worst disagreement as a share of the goal): {best}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Write tests/golden/*.bin with PyTorch.")
    parser.add_argument("--search", type=int, metavar="N", help="try seeds 0..N-1, print the best, write nothing")
    parser.add_argument("--out", default=os.path.join(os.path.dirname(__file__), "..", "tests", "golden"))
    parser.add_argument("cases", nargs="*", help=f"default: {' '.join(CASES)} random")
    options = parser.parse_args()
    every = [*CASES, *RANDOM]
    names = [name for case in options.cases or every for name in (RANDOM if case == "random" else [case])]
    for name in names:
        if name not in every:
            parser.error(f"no case is called '{name}'; there are {', '.join(every)}")
    torch.set_num_threads(1)
    if options.search:
        search(names, options.search)
        return
    os.makedirs(os.path.join(options.out, "random"), exist_ok=True)
    print(f"{'case':14} {'parameters':>10} {'bytes':>8} {'seed':>4}  {'check':8} {'gradient':>9} {'loss':>9}"
          "  worst tensor")
    for name in names:
        seed, path = seed_of(name), os.path.join(options.out, name + ".bin")
        f32, f64, checks = examine(name, seed)
        size = write(path, name, seed, f32, f64)
        head = f"{name:14} {verify(path):10} {size:8} {seed:4}"
        for check, (gradient, key, loss) in checks.items():
            within = gradient < GRADIENT_GOAL and loss < LOSS_GOAL
            print(f"{head}  {check:8} {gradient:9.2e} {loss:9.2e}  {key}{'' if within else '  ABOVE THE GOAL'}")
            head = " " * len(head)


if __name__ == "__main__":
    main()
