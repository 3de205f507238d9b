# SPDX-License-Identifier: MIT
"""Shikaku's presets of nets as PyTorch modules of their own, written without Shikaku's texts, to hold those against. The
names in state_dict() are the same.

    build("resnet20:width=4", (3, 32, 32), 10)
"""

import torch
from torch import nn
from torch.nn import functional as F

from pytorch_nets import sincos


class LeNet5(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        c, h, w = shape
        self.conv1, self.conv2 = nn.Conv2d(c, 6, 5), nn.Conv2d(6, 16, 5)
        h, w = (((side - 4) // 2 - 4) // 2 for side in (h, w))
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * h * w, 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x).relu(), 2)
        x = F.max_pool2d(self.conv2(x).relu(), 2)
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        if self.stride == 2:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (self.downsample(x) if self.stride == 2 else x)).relu()


class ResNet(nn.Module):
    """Stages of blocks, each twice as wide as the one before."""

    def __init__(self, shape, classes, width, blocks, stem="small"):
        super().__init__()
        large = stem == "large"
        self.conv1 = nn.Conv2d(shape[0], width, 7 if large else 3, 2 if large else 1, 3 if large else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        for i, n in enumerate(blocks):
            outputs = width << i
            first = BasicBlock(outputs // 2 if i else width, outputs)
            self.add_module(f"layer{i + 1}", nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(n - 1))))
        self.stages = len(blocks)
        self.fc = nn.Linear(outputs, classes)

    def forward(self, x):
        x = self.pool(self.bn1(self.conv1(x)).relu())
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(x.mean((2, 3)))


def resnet20(shape, classes, width=16):
    return ResNet(shape, classes, int(width), (3, 3, 3))


def resnet18(shape, classes, stem="small", width=64):
    return ResNet(shape, classes, int(width), (2, 2, 2, 2), stem)


class InvertedBlocks(nn.Sequential):
    """Blocks of (inputs, outputs), eight modules each; those that keep their width are residual."""

    def __init__(self, *blocks):
        modules = []
        for inputs, outputs in blocks:
            wide = 4 * inputs
            modules += [nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.Hardswish(),
                        nn.Conv2d(wide, wide, 3, 1 if inputs == outputs else 2, 1, groups=wide, bias=False),
                        nn.BatchNorm2d(wide), nn.Hardswish(),
                        nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        super().__init__(*modules)
        self.residual = [inputs == outputs for inputs, outputs in blocks]

    def forward(self, x):
        modules = list(self)
        for i, residual in enumerate(self.residual):
            y = x
            for module in modules[8 * i : 8 * i + 8]:
                y = module(y)
            x = x + y if residual else y
        return x


class MobileNetTiny(nn.Module):
    def __init__(self, shape, classes, width=16):
        super().__init__()
        w = int(width)
        self.stem = nn.Sequential(nn.Conv2d(shape[0], w, 3, padding=1, bias=False), nn.BatchNorm2d(w), nn.Hardswish())
        self.stage1 = InvertedBlocks((w, w))
        self.stage2 = InvertedBlocks((w, 2 * w), (2 * w, 2 * w))
        self.stage3 = InvertedBlocks((2 * w, 4 * w), (4 * w, 4 * w), (4 * w, 4 * w))
        self.head = nn.Sequential(nn.Conv2d(4 * w, 16 * w, 1, bias=False), nn.BatchNorm2d(16 * w), nn.Hardswish())
        self.fc = nn.Linear(16 * w, classes)

    def forward(self, x):
        return self.fc(self.head(self.stage3(self.stage2(self.stage1(self.stem(x))))).mean((2, 3)))


class MixerBlock(nn.Sequential):
    def __init__(self, dim, kernel):
        super().__init__(nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim), nn.GELU(), nn.BatchNorm2d(dim),
                         nn.Conv2d(dim, dim, 1), nn.GELU(), nn.BatchNorm2d(dim))

    def forward(self, x):
        depthwise, gelu, norm, pointwise, gelu2, norm2 = self
        return norm2(gelu2(pointwise(x + norm(gelu(depthwise(x))))))


class ConvMixer(nn.Module):
    def __init__(self, shape, classes, dim=256, depth=8, kernel=5, patch=2):
        super().__init__()
        dim, depth, kernel, patch = int(dim), int(depth), int(kernel), int(patch)
        self.stem = nn.Sequential(nn.Conv2d(shape[0], dim, patch, patch), nn.GELU(), nn.BatchNorm2d(dim))
        self.blocks = nn.Sequential(*(MixerBlock(dim, kernel) for _ in range(depth)))
        self.fc = nn.Linear(dim, classes)

    def forward(self, x):
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


def encoder(dim, depth, heads, ff, eps=1e-5):
    module = nn.Module()
    module.layers = nn.ModuleList(
        nn.TransformerEncoderLayer(dim, heads, ff, 0, "gelu", batch_first=True, norm_first=True, layer_norm_eps=eps)
        for _ in range(depth))
    return module


class CCT(nn.Module):
    def __init__(self, shape, classes, dim=128, depth=2, heads=2, pos="learned"):
        super().__init__()
        dim = int(dim)
        self.tokenizer = nn.Module()
        self.tokenizer.conv1 = nn.Conv2d(shape[0], dim // 2, 3, padding=1, bias=False)
        self.tokenizer.conv2 = nn.Conv2d(dim // 2, dim, 3, padding=1, bias=False)
        h, w = ((side + 3) // 4 for side in shape[1:])
        if pos == "sincos":
            self.register_buffer("pos_embed", sincos((h, w), h * w, dim), persistent=False)
        else:
            self.pos_embed = nn.Parameter(torch.randn(1, h * w, dim) * 0.02)
        self.encoder = encoder(dim, int(depth), int(heads), 2 * dim)
        self.norm, self.attention_pool, self.head = nn.LayerNorm(dim), nn.Linear(dim, 1), nn.Linear(dim, classes)

    def forward(self, x):
        for conv in (self.tokenizer.conv1, self.tokenizer.conv2):
            x = F.max_pool2d(conv(x).relu(), 3, 2, 1)
        x = x.flatten(2).transpose(1, 2) + self.pos_embed
        for layer in self.encoder.layers:
            x = layer(x)
        x = self.norm(x)
        return self.head((self.attention_pool(x).softmax(1) * x).sum(1))


class ViTTiny(nn.Module):
    def __init__(self, shape, classes, dim=192, depth=12, heads=3, patch=4):
        super().__init__()
        dim, patch = int(dim), int(patch)
        self.patch_embed = nn.Conv2d(shape[0], dim, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + shape[1] // patch * (shape[2] // patch), dim) * 0.02)
        self.encoder = encoder(dim, int(depth), int(heads), 4 * dim, 1e-6)
        self.norm, self.head = nn.LayerNorm(dim, 1e-6), nn.Linear(dim, classes)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for layer in self.encoder.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


PRESETS = {"lenet5": LeNet5, "resnet20": resnet20, "resnet18": resnet18, "mobilenet-tiny": MobileNetTiny,
           "convmixer": ConvMixer, "cct": CCT, "vit-tiny": ViTTiny}


def build(description, shape, classes):
    """The module of a preset's name and keys; shape: (C, H, W) of an image."""
    name, _, keys = description.partition(":")
    return PRESETS[name](shape, classes, **dict(key.split("=") for key in keys.split(",") if key))
