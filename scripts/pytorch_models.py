# SPDX-License-Identifier: MIT
"""Shikaku's models as PyTorch modules, built from Shikaku's own model descriptions, and the squares data set.

    build("tinycnn", (1, 32, 32), 9)
    build("vit:dim=48,depth=4,heads=3,patch=5,ff=100,pool=mean,norm=pre", (3, 35, 25), 11)

    build("net:conv(16,3) relu mean linear(classes)", (1, 32, 32), 9)

The names in state_dict() are the names of Shikaku's parameters. Keys left out of a description have the values of
tinycnn and tinyvit.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import pytorch_presets
from pytorch_nets import Net

CNN = "cnn:channels=16-32,hidden=128"
VIT = "vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=post,pos=learned,dropout=0.1,act=relu"
PRESETS = {
    "tinycnn": CNN,
    "tinyvit": VIT,
    "tinyvit-pre": "vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=pre,pos=learned,dropout=0,act=gelu",
    "tinyvit-nopos": "vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls,norm=post,pos=none,dropout=0.1,act=relu",
}
CHOICES = {"pool": ("cls", "mean"), "norm": ("pre", "post"), "pos": ("learned", "none"), "act": ("relu", "gelu", "silu")}


def _fields(text):
    pairs = [field.partition("=") for field in text.split(",") if field]
    for key, equals, value in pairs:
        if not equals or not value:
            raise ValueError(f"'{key}' in a model description has no value: write {key}=...")
    return {key: value for key, _, value in pairs}


def _value(key, text):
    if key in CHOICES:
        if text not in CHOICES[key]:
            raise ValueError(f"{key}={text}: must be one of {', '.join(CHOICES[key])}")
        return text
    if key == "channels":
        return [int(n) for n in text.split("-")]
    return float(text) if key == "dropout" else int(text)


def parse(description):
    """(family, {key: value}) of a preset's name or a description; every key is present."""
    family, _, text = PRESETS.get(description, description).partition(":")
    if family not in ("cnn", "vit"):
        raise ValueError(f"'{description}' is no model: use {', '.join(PRESETS)}, cnn:... or vit:...")
    fields = _fields((CNN if family == "cnn" else VIT).partition(":")[2])
    given = _fields(text)
    for key in given:
        if key not in fields:
            raise ValueError(f"a {family} has no '{key}': its keys are {', '.join(fields)}")
    fields.update(given)
    if family == "vit" and "ff" not in given:
        fields["ff"] = str(4 * int(fields["dim"]))
    return family, {key: _value(key, value) for key, value in fields.items()}


class Cnn(nn.Module):
    """conv1..N (3x3, pad 1), each with ReLU and 2x2 max-pool; fc1 (hidden, ReLU), fc2. hidden=0: fc1 is the output."""

    def __init__(self, fields, shape, classes):
        super().__init__()
        c, h, w = shape
        self.convs = len(fields["channels"])
        for i, channels in enumerate(fields["channels"], 1):
            self.add_module(f"conv{i}", nn.Conv2d(c, channels, 3, padding=1))
            c, h, w = channels, h // 2, w // 2
        if h < 1 or w < 1:
            raise ValueError(f"{self.convs} 2x2 pools leave nothing of images of {shape[1]}x{shape[2]}")
        self.hidden = fields["hidden"]
        self.fc1 = nn.Linear(c * h * w, self.hidden or classes)
        if self.hidden:
            self.fc2 = nn.Linear(self.hidden, classes)

    def forward(self, x):
        """x: (B, C, H, W) -> logits (B, classes)"""
        for i in range(1, self.convs + 1):
            x = F.max_pool2d(F.relu(getattr(self, f"conv{i}")(x)), 2)
        x = self.fc1(torch.flatten(x, 1))
        return self.fc2(F.relu(x)) if self.hidden else x


class Vit(nn.Module):
    """Patches, CLS token, position embedding, nn.TransformerEncoder, final LayerNorm (pre-norm only), linear head."""

    def __init__(self, fields, shape, classes):
        super().__init__()
        c, h, w = shape
        dim, patch = fields["dim"], fields["patch"]
        if h % patch or w % patch:
            raise ValueError(f"images of {h}x{w} cannot be cut into patches of {patch}x{patch}")
        tokens = (h // patch) * (w // patch) + (fields["pool"] == "cls")
        self.patch_embed = nn.Conv2d(c, dim, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02) if fields["pool"] == "cls" else None
        self.pos_embed = nn.Parameter(torch.randn(1, tokens, dim) * 0.02) if fields["pos"] == "learned" else None

        act = F.silu if fields["act"] == "silu" else fields["act"]

        def layer():
            return nn.TransformerEncoderLayer(dim, fields["heads"], fields["ff"], fields["dropout"], act,
                                              batch_first=True, norm_first=fields["norm"] == "pre")

        self.encoder = nn.TransformerEncoder(layer(), fields["depth"])
        # nn.TransformerEncoder starts every layer as a copy of the first; here each draws its own values.
        self.encoder.layers = nn.ModuleList(layer() for _ in range(fields["depth"]))
        self.norm = nn.LayerNorm(dim) if fields["norm"] == "pre" else None
        self.head = nn.Linear(dim, classes)

    def embed(self, x):
        """x: (B, C, H, W) -> tokens (B, T, dim)"""
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        return x if self.pos_embed is None else x + self.pos_embed

    def classify(self, x):
        """x: (B, T, dim) -> logits (B, classes); the mean is taken after the final LayerNorm"""
        if self.cls_token is not None:
            x = x[:, 0]
        if self.norm is not None:
            x = self.norm(x)
        return self.head(x if self.cls_token is not None else x.mean(1))

    def forward(self, x):
        return self.classify(self.encoder(self.embed(x)))


def build(description, shape, classes):
    """The module of a preset's name or a description; shape: (C, H, W) of an image."""
    if description.startswith("net:"):
        return Net(description[len("net:") :], shape, classes)
    if description.partition(":")[0] in pytorch_presets.PRESETS:
        return pytorch_presets.build(description, shape, classes)
    family, fields = parse(description)
    return (Cnn if family == "cnn" else Vit)(fields, shape, classes)


def squares(n, rng, size=32):
    """n samples of the squares data set from a numpy Generator: images (n, size, size, 1) f32, labels (n,) u32."""
    square, grid = 6, 3
    cell = size // grid
    labels = rng.integers(0, grid * grid, n)
    offset = rng.integers(0, cell - square + 1, (n, 2))
    inverted = rng.random(n) < 0.5
    images = np.zeros((n, size, size, 1), np.float32)
    for i in range(n):
        y, x = labels[i] // grid * cell + offset[i, 0], labels[i] % grid * cell + offset[i, 1]
        images[i, y : y + square, x : x + square] = 1
    images[inverted] = 1 - images[inverted]
    return images, labels.astype(np.uint32)
