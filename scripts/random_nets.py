# SPDX-License-Identifier: MIT
"""Draws small nets as texts (docs/guide/models.md), each from its number: random_net(3) -> (text, (C, H, W), classes).

A word is a row of WORDS under what it reads: a function of the random numbers and the extent that writes it with
arguments, or plain text. What does not fit where it stands is drawn again.
"""

import random

import torch

from pytorch_nets import Net

FEW, MANY = 300, 2500  # parameters of a net


def conv(rng, extent):
    kernel, stride = rng.choice((1, 3, 3, 3, 5, 7)), rng.choice((1, 1, 1, 2))
    out = rng.choice((2, 3, 5, 8, 12, 17, 20))
    words, groups = [str(out)], [g for g in (2, 3, extent[0]) if g > 1 and extent[0] % g == 0 and out % g == 0]
    if kernel != 3:
        words.append(str(kernel))
    if stride != 1:
        words.append(f"stride={stride}")
    if rng.random() < 0.2:
        words.append(f"pad={rng.randrange(kernel // 2 + 1)}")
    if rng.random() < 0.4:
        words.append("bias=no")
    if groups and rng.random() < 0.4:
        words.append(f"groups={rng.choice(groups)}")
    return f"conv({','.join(words)})"


def depthwise(rng, extent):
    return f"conv({extent[0]},{rng.choice((3, 3, 5))},stride={rng.choice((1, 1, 2))},groups={extent[0]})"


def pool(rng, extent):
    window, name = rng.choice((2, 2, 3)), rng.choice(("max_pool", "avg_pool"))
    if rng.random() < 0.5:
        return f"{name}({window})"
    return f"{name}({window},{rng.choice((1, 2, 3))},{rng.choice((0, 0, window // 2))})"


def se(rng, extent):
    return rng.choice(("se", "se(2)", "se(channels=3,act=silu)"))


def bn(rng, extent):
    keys = [f"{key}={rng.choice(values)}" for key, values in (("eps", ("1e-3", "0.1")), ("momentum", (0, 0.3, 1)))
            if rng.random() < 0.4]
    return f"bn({','.join(keys)})" if keys else "bn"


def linear(rng, extent):
    return f"linear({rng.choice((4, 10, 16, 23))})"


def flatten(rng, extent):
    return "flatten " + linear(rng, extent)


def positions(rng, extent, words):
    dim = after(words, extent)[-1]
    return rng.choice(("", " positions", " positions(sincos)" if dim % 4 == 0 else ""))


def tokens(rng, extent):
    return "tokens" + positions(rng, extent, "tokens")


def patch_embed(rng, extent):
    sizes = [p for p in (2, 3, 4, 5) if extent[1] % p == 0 and extent[2] % p == 0]
    words = f"patch_embed({rng.choice((6, 8, 12, 18))},{rng.choice(sizes or (1,))})"
    return words + rng.choice(("", " cls_token")) + positions(rng, extent, words)


def encoder(rng, extent):
    words = [str(rng.choice([n for n in (1, 2, 3) if extent[-1] % n == 0]))]
    if rng.random() < 0.7:
        words.append(f"ff={rng.choice((5, 16, 20))}")
    words += [f"{key}={rng.choice(values)}" for key, values in (("norm", ("pre", "post")), ("act", ("gelu", "silu")),
                                                                       ("eps", ("1e-6", "0.01")))
              if rng.random() < 0.6]
    return f"encoder({','.join(words)})"


def residual(rng, extent):
    """A sum of what is read, or of another branch, and a branch of the same extent."""
    branch = draw(rng, extent, rng.randint(1, 3), nested=True)
    if branch is None:
        return None
    made = after(branch, extent)
    if made == extent:
        return f"sum({branch})"
    other = f"linear({made[-1]})"
    if len(extent) == 3:
        other = f"conv({made[0]},1,stride={2 if made[1] < extent[1] else 1},bias=no){rng.choice((' bn', ''))}"
    return f"sum({branch} | {other})" if after(other, extent) == made else None


def joined(rng, extent):
    """The channels of some branches, or of what is read and one."""
    branches = [draw(rng, extent, rng.randint(1, 2), nested=True) for _ in range(rng.choice((1, 2, 2, 3)))]
    text = None not in branches and f"cat({' | '.join(branches)})"
    return text if text and after(text, extent) else None


def activation(rng, extent):
    return rng.choice(("relu", "relu", "gelu", "silu", "hardswish"))


WORDS = {
    "map": [conv, conv, conv, conv, bn, bn, depthwise, pool, se, residual, residual, activation, activation],
    "tokens": [encoder, encoder, "ln", "ln(0.01)", linear, residual, activation],
    "row": [linear, bn, "ln", residual, activation],
}
# Nets from this number on have another word, so that those before are still what they were.
JOINED = 33
MORE_WORDS = {kind: [*words, joined, joined] for kind, words in WORDS.items()}
LENGTHS = {"map": (3, 7), "tokens": (1, 3), "row": (1, 3)}
FIRST = [conv, conv, patch_embed]
ENDS = {"map": ["mean", "mean", flatten, tokens, patch_embed, patch_embed], "tokens": ["mean", "seq_pool", "cls"]}


class Dice(random.Random):
    """Random numbers, and the words that they choose from."""

    words = WORDS


def kind(extent):
    return {3: "map", 2: "tokens", 1: "row"}[len(extent)]


def after(text, extent):
    """What a list of layers makes of an extent: (C, H, W), (tokens, C) or (C,). None: it does not fit."""
    try:
        net = Net(text, extent, 2).eval()
        with torch.no_grad():
            return tuple(net(torch.zeros(1, *extent)).shape[1:])
    except (RuntimeError, ValueError):
        return None


def write(rng, word, extent):
    return word if isinstance(word, str) else word(rng, extent)


def draw(rng, extent, words, nested=False):
    """Some words that read an extent and stay of its kind; None: they do not fit."""
    items = []
    for _ in range(words):
        choice = [word for word in rng.words[kind(extent)] if not (nested and word in (residual, joined))]
        word = write(rng, rng.choice(choice), extent)
        extent = word and after(word, extent)
        if not extent:
            return None
        items.append(word)
    return " ".join(items)


def attempt(rng, shape):
    """A net up to its head; None: it does not fit."""
    text = write(rng, rng.choice(FIRST), shape)
    while True:
        extent = after(text, shape)
        if extent is None:
            return None
        if len(extent) == 1 and rng.random() < 0.5:
            return text
        part = draw(rng, extent, rng.randint(*LENGTHS[kind(extent)]))
        extent = part and after(part, extent)
        if not extent:
            return None
        text += " " + part
        if len(extent) > 1:
            end = write(rng, rng.choice(ENDS[kind(extent)]), extent)
            if end == "cls" and not ("cls_token" in text and "encoder" in text):  # it would see nothing
                return None
            text += " " + end


def random_net(number):
    rng = Dice(number)
    if number >= JOINED:
        rng.words = MORE_WORDS
    while True:
        shape = rng.randint(1, 3), rng.randint(8, 14), rng.randint(8, 14)
        classes = rng.randint(2, 7)
        text = attempt(rng, shape)
        if text is None:
            continue
        text += " linear(classes)"
        if FEW <= sum(p.numel() for p in Net(text, shape, classes).parameters()) <= MANY:
            return text, shape, classes
