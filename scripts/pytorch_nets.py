# SPDX-License-Identifier: MIT
"""Nets written as texts (docs/guide/models.md) as PyTorch modules, with the same names in state_dict().

    Net("conv(16,3) relu sum(conv(16) relu conv(16)) mean linear(classes)", (3, 32, 32), 10)
"""

import re

import torch
from torch import nn
from torch.nn import functional as F

TOKEN = re.compile(r"#[^\n]*|\s+|([A-Za-z0-9_.\-]+|[()=,|*])")


def tokens_of(text):
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            raise ValueError(f"character {at + 1} of a net's text is no part of one: {text[at:at + 20]}")
        if found.group(1):
            yield found.group(1)
        at = found.end()


class Reader:
    """Items as tuples: (name or None, count or None, kind, word or None, arguments or branches)."""

    def __init__(self, text):
        self.tokens = list(tokens_of(text)) + [None]
        self.at = 0

    def peek(self, ahead=0):
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def take(self, token=None):
        found = self.peek()
        if token is not None and found != token:
            raise ValueError(f"'{token}' is expected in a net's text, not '{found}'")
        self.at += 1
        return found

    def list(self, ends):
        items = []
        while self.peek() not in ends:
            items.append(self.item())
        return items

    def item(self):
        name = count = None
        if self.peek(1) == "=":
            name = self.take()
            self.take("=")
        if self.peek(1) == "*":
            count = int(self.take())
            self.take("*")
        if self.peek() == "(":
            self.take()
            items = self.list((")",))
            self.take(")")
            return name, count, "group", None, items
        word = self.take()
        if word in ("sum", "cat"):
            return name, count, word, word, self.branches()
        return name, count, "layer", word, self.arguments() if self.peek() == "(" else []

    def branches(self):
        """The branches, and the arguments behind them."""
        self.take("(")
        branches = [self.list(("|", ",", ")"))]
        while self.peek() == "|":
            self.take()
            branches.append(self.list(("|", ",", ")")))
        if self.peek() == ",":
            return branches, self.arguments(",")
        self.take(")")
        return branches, []

    def arguments(self, before="("):
        self.take(before)
        found = []
        while True:
            value = self.take()
            if self.peek() == "=":
                self.take()
                found.append((value, self.take()))
            else:
                found.append((None, value))
            if self.take() == ")":
                return found


class GhostNorm:
    """Batch normalisation of each block of at most 256 samples, of a power of two of blocks."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        n, blocks = len(x), 1
        while -(-n // blocks) > 256:
            blocks *= 2
        ends = [n * i // blocks for i in range(blocks + 1)]
        return torch.cat([super(GhostNorm, self).forward(x[a:b]) for a, b in zip(ends, ends[1:])])


class GhostNorm1d(GhostNorm, nn.BatchNorm1d):
    pass


class GhostNorm2d(GhostNorm, nn.BatchNorm2d):
    pass


class Flatten(nn.Module):
    def forward(self, x):
        return x.flatten(1)


class Mean(nn.Module):
    """Over the pixels of a map, or over tokens."""

    def forward(self, x):
        return x.mean((2, 3)) if x.dim() == 4 else x.mean(1)


class Cls(nn.Module):
    def forward(self, x):
        return x[:, 0]


class DropPath(nn.Module):
    """Stochastic depth: leaves out a sample's whole value with probability p, and scales it otherwise."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        kept = torch.rand((len(x),) + (1,) * (x.dim() - 1), device=x.device) >= self.p
        return x * kept.to(x.dtype) / (1 - self.p)


class Encoder(nn.TransformerEncoderLayer):
    """With stochastic depth of both of its residual sums."""

    def __init__(self, *arguments, drop_path, **more):
        super().__init__(*arguments, **more)
        self.drop_path = DropPath(drop_path)

    def _sa_block(self, *arguments):
        return self.drop_path(super()._sa_block(*arguments))

    def _ff_block(self, x):
        return self.drop_path(super()._ff_block(x))


class SequencePool(nn.Linear):
    """The sum of tokens, weighted by a softmax over the linear layer's number of each."""

    def forward(self, x):
        return (super().forward(x).softmax(1).transpose(1, 2) @ x).squeeze(1)


class Tokens(nn.Module):
    """A row for each pixel of a map."""

    def forward(self, x):
        return x.flatten(2).transpose(1, 2)


class Patches(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).flatten(2).transpose(1, 2)


class SqueezeExcitation(nn.Module):
    """With the names of torchvision's."""

    def __init__(self, c, squeezed, act):
        super().__init__()
        self.fc1, self.fc2, self.act = nn.Conv2d(c, squeezed, 1), nn.Conv2d(squeezed, c, 1), act

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True)))))


class Embedding:
    """A parameter that is looked up when it is needed, so that copies of the net have their own."""

    def __init__(self, net, path):
        self.net, self.path = net, path

    def parameter(self):
        return self.net.get_parameter(self.path)


class Token(Embedding):
    def __call__(self, x):
        return torch.cat([self.parameter().expand(len(x), -1, -1), x], 1)


class Positions(Embedding):
    def __call__(self, x):
        return x + self.parameter()


class FixedPositions(Embedding):
    def __call__(self, x):
        return x + self.net.get_buffer(self.path)


def sincos(grid, rows, dim):
    """[1][rows][dim]: sines and cosines of a token's column and row on the grid (He et al. 2022); first rows may be zero."""
    frequencies = 10000 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    angles = [at.reshape(-1, 1) * frequencies for at in (x, y)]
    table = torch.cat([f(a) for a in angles for f in (torch.sin, torch.cos)], 1).float()
    return torch.cat([torch.zeros(rows - len(table), dim), table])[None]


def _arguments(given, keys):
    """The values of `keys`, of which one may have a default: (key, default)."""
    values = dict(keys)
    for place, (key, value) in enumerate(given):
        values[key or keys[place][0]] = value
    return [values[key] for key, _ in keys]


class Net(nn.Module):
    def __init__(self, text, shape, classes):
        super().__init__()
        self.classes = classes
        self.value = torch.zeros(1, *shape)  # what the next layer reads, for its extent
        self.drop_paths = nn.ModuleList()  # of the sums
        self.grid = None  # rows and columns of the tokens made last
        reader = Reader(text)
        self.program, _ = self._list(reader.list((None,)), "", 0)
        del self.value

    # ---- Layers

    def _add(self, path, module):
        *scopes, name = path.split(".")
        at = self
        for scope in scopes:
            if not hasattr(at, scope):
                at.add_module(scope, nn.Module())
            at = getattr(at, scope)
        if isinstance(module, nn.Parameter):
            at.register_parameter(name, module)
        elif isinstance(module, torch.Tensor):
            at.register_buffer(name, module, persistent=False)
        else:
            at.add_module(name, module)
        return module

    def _layer(self, word, given, path):
        """A function of what it reads; what it has as parameters is a module at `path`."""
        c = self.value.shape[-1] if self.value.dim() == 3 else self.value.shape[1]
        plain = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "hardswish": F.hardswish, "flatten": Flatten(), "mean": Mean(), "cls": Cls(),
                 "tokens": Tokens()}
        if word == "tokens":
            self.grid = self.value.shape[2:]
        if word in plain:
            return plain[word]
        pool = [("window", None), ("stride", None), ("pad", 0)]
        if word == "conv":
            keys = [("out", None), ("kernel", 3), ("stride", 1), ("pad", None), ("bias", "yes"), ("groups", 1)]
            out, kernel, stride, pad, bias, groups = _arguments(given, keys)
            half = 0 if int(kernel) == int(stride) else int(kernel) // 2
            return self._add(path, nn.Conv2d(c, int(out), int(kernel), int(stride), half if pad is None else int(pad),
                                             groups=int(groups), bias=bias == "yes"))
        if word == "max_pool":
            window, stride, pad = _arguments(given, pool)
            return nn.MaxPool2d(int(window), int(stride or window), int(pad))
        if word == "avg_pool":
            window, stride, pad = _arguments(given, pool)
            return nn.AvgPool2d(int(window), int(stride or window), int(pad))
        if word == "se":
            reduction, channels, act = _arguments(given, [("reduction", 4), ("channels", None), ("act", "relu")])
            squeezed = max(1, c // int(reduction)) if channels is None else int(channels)
            return self._add(path, SqueezeExcitation(c, squeezed, plain[act]))
        if word == "dropout":
            return self._add(path, nn.Dropout(float(_arguments(given, [("p", None)])[0])))
        if word == "linear":
            (out,) = _arguments(given, [("out", None)])
            return self._add(path, nn.Linear(c, self.classes if out == "classes" else int(out)))
        if word == "seq_pool":
            return self._add(path, SequencePool(c, 1))
        if word == "patch_embed":
            dim, patch = (int(v) for v in _arguments(given, [("dim", None), ("patch", None)]))
            self.grid = [side // patch for side in self.value.shape[2:]]
            return self._add(path, Patches(c, dim, patch, stride=patch))
        if word == "cls_token":
            self._add(path, nn.Parameter(torch.randn(1, 1, c) * 0.02))
            return Token(self, path)
        if word == "positions" and _arguments(given, [("kind", "learned")]) == ["sincos"]:
            self._add(path, sincos(self.grid, self.value.shape[1], c))
            return FixedPositions(self, path)
        if word == "positions":
            self._add(path, nn.Parameter(torch.randn(1, self.value.shape[1], c) * 0.02))
            return Positions(self, path)
        if word == "bn":
            eps, momentum, ghost = _arguments(given, [("eps", 1e-5), ("momentum", 0.1), ("ghost", "no")])
            kinds = (GhostNorm1d, GhostNorm2d) if ghost == "yes" else (nn.BatchNorm1d, nn.BatchNorm2d)
            return self._add(path, kinds[self.value.dim() == 4](c, float(eps), float(momentum)))
        if word == "ln":
            return self._add(path, nn.LayerNorm(c, float(_arguments(given, [("eps", 1e-5)])[0])))
        if word == "encoder":
            keys = [("heads", None), ("ff", 4 * c), ("norm", "post"), ("act", "relu"), ("dropout", 0), ("drop_path", 0),
                    ("eps", 1e-5)]
            heads, ff, norm, act, dropout, drop_path, eps = _arguments(given, keys)
            return self._add(path, Encoder(c, int(heads), int(ff), float(dropout), F.silu if act == "silu" else act,
                                           batch_first=True, norm_first=norm == "pre", layer_norm_eps=float(eps),
                                           drop_path=float(drop_path)))
        raise ValueError(f"no layer is called '{word}'")

    # ---- Items

    def _list(self, items, scope, children):
        program = []
        for item in items:
            for repeat in range(item[1] or 1):
                step, children = self._item(item, repeat, scope, children)
                program.append(step)
        return program, children

    def _item(self, item, repeat, scope, children):
        name, count, kind, word, parts = item
        build = {"sum": self._sum, "cat": self._cat}.get(kind)
        if build and name is None:
            return build(parts, scope, children)
        path = scope + (str(children) if name is None else name if count is None else f"{name}.{repeat}")
        if kind == "group":
            return self._list(parts, path + ".", 0)[0], children + 1
        if build:
            return build(parts, path + ".", 0)[0], children + 1
        layer = self._layer(word, parts, path)
        training = self.training
        self.eval()
        with torch.no_grad():
            self.value = layer(self.value)
        self.train(training)
        return layer, children + 1

    def _sum(self, parts, scope, children):
        branches, given = parts
        self.drop_paths.append(DropPath(float(_arguments(given, [("drop_path", 0)])[0])))
        programs, _, children = self._branches(branches, scope, children)
        return ("sum", programs, self.drop_paths[-1]), children

    def _cat(self, parts, scope, children):
        """Of channels, which are the last dimension of tokens; of one branch alone behind what it reads."""
        programs, values, children = self._branches(parts[0] if len(parts[0]) > 1 else [[], *parts[0]], scope, children)
        axis = 2 if self.value.dim() == 3 else 1
        self.value = torch.cat(values, axis)
        return ("cat", programs, axis), children

    def _branches(self, branches, scope, children):
        """Their programs and values, and the children that there are then."""
        read, programs, values = self.value, [], []
        for branch in branches:
            self.value = read
            program, children = self._list(branch, scope, children)
            programs.append(program)
            values.append(self.value)
        return programs, values, children

    def _run(self, program, x):
        for step in program:
            if isinstance(step, list):
                x = self._run(step, x)
            elif isinstance(step, tuple):
                kind, branches, how = step
                values = [self._run(branch, x) for branch in branches]
                x = torch.cat(values, how) if kind == "cat" else sum(values[1:] or [x], how(values[0]))
            else:
                x = step(x)
        return x

    def forward(self, x):
        return self._run(self.program, x)
