# SPDX-License-Identifier: MIT
"""The same models and the same Adam as fast as PyTorch was found to train them, on one thread or in several processes.

peer_pytorch says what the forms are and checks that they compute what pytorch_models.py does.
"""

import os

import torch
from torch.nn import functional as F


def fast_cnn(model, channels_last):
    """(parameters, forward) of a fast form of pytorch_models.Cnn"""
    convs = [getattr(model, f"conv{i}") for i in range(1, model.convs + 1)]
    if channels_last:  # fc1's columns from (C, H * W) to (H * W, C)
        weight = model.fc1.weight
        last = convs[-1].out_channels
        weight.data = weight.data.view(len(weight), last, -1).transpose(1, 2).reshape(len(weight), -1)

    def forward(x):
        x = x.contiguous(memory_format=torch.channels_last) if channels_last else x.to_mkldnn()
        for conv in convs:
            x = F.relu(F.max_pool2d(F.conv2d(x, conv.weight, conv.bias, padding=1), 2, 2))
        x = x.permute(0, 2, 3, 1) if channels_last else x.to_dense()
        x = model.fc1(x.reshape(len(x), -1))
        return model.fc2(F.relu(x)) if model.hidden else x

    return list(model.parameters()), forward


def linear_1x1(x, weight, bias):
    """x: (B, T, in) as the channels-last map (B, in, T, 1)"""
    y = F.conv2d(x.unsqueeze(2).permute(0, 3, 1, 2), weight[..., None, None], bias)
    return y.permute(0, 2, 3, 1).squeeze(2)


def fast_vit(model, fields, by_convolution, pruned):
    """(parameters, forward) of a fast form of pytorch_models.Vit; linear layers as 1x1 convolutions, and the last block for
    CLS alone, if asked for"""
    linear = linear_1x1 if by_convolution else F.linear
    heads, threshold = fields["heads"], round(fields["dropout"] * 65536)
    activation = F.relu if fields["act"] == "relu" else F.gelu

    def drop(x):
        if not threshold or not model.training:
            return x
        bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = bits[: x.numel()].view(x.shape) >= threshold - 32768
        return x * kept.float().mul_(65536 / (65536 - threshold))

    def project(a, x, first, last):
        """the parts first .. last - 1 of query, key, value: each (B * heads, T, d)"""
        b, t, dim = x.shape
        part = slice(first * dim, last * dim)
        y = linear(x, a.in_proj_weight[part], a.in_proj_bias[part]).view(b, t, last - first, heads, dim // heads)
        return y.permute(2, 0, 3, 1, 4).reshape(last - first, b * heads, t, dim // heads).unbind(0)

    def attention(a, x, rows):
        """for the first `rows` tokens"""
        b, t, dim = x.shape
        q, k, v = project(a, x, 0, 3) if rows == t else project(a, x[:, :rows], 0, 1) + project(a, x, 1, 3)
        p = torch.softmax(torch.bmm(q * (dim // heads) ** -0.5, k.transpose(1, 2)), -1)
        out = torch.bmm(drop(p), v).view(b, heads, rows, -1).transpose(1, 2).reshape(b, rows, dim)
        return drop(linear(out, a.out_proj.weight, a.out_proj.bias))

    def feed_forward(layer, x):
        x = drop(activation(linear(x, layer.linear1.weight, layer.linear1.bias)))
        return drop(linear(x, layer.linear2.weight, layer.linear2.bias))

    def forward(x):
        x = model.embed(x)
        for layer in model.encoder.layers:
            rows = 1 if pruned and layer is model.encoder.layers[-1] else x.shape[1]
            if fields["norm"] == "pre":
                x = x[:, :rows] + attention(layer.self_attn, layer.norm1(x), rows)
                x = x + feed_forward(layer, layer.norm2(x))
            else:
                x = layer.norm1(x[:, :rows] + attention(layer.self_attn, x, rows))
                x = layer.norm2(x + feed_forward(layer, x))
        return model.classify(x)

    return list(model.parameters()), forward


class Team:
    """N processes of one thread each that share weights and gradients; the one that starts them is worker 0."""

    def __init__(self, workers):
        self.workers, self.worker, self.starter = workers, 0, os.getpid()
        self.arrived = torch.zeros(workers, dtype=torch.int64).share_memory_().numpy()

    def start(self):
        for worker in range(1, self.workers):
            if os.fork() == 0:
                self.worker = worker
                break
        torch.manual_seed(1 + self.worker)

    def wait(self):
        """until all have come here as often as this worker"""
        self.arrived[self.worker] += 1
        while self.arrived.min() < self.arrived[self.worker]:
            if self.worker and os.getppid() != self.starter:
                os._exit(0)  # worker 0 has what it wanted
            if not self.worker and os.waitpid(-1, os.WNOHANG)[0]:
                raise SystemExit("a worker has ended early")
            os.sched_yield()

    def part(self, n):
        """this worker's part of n things"""
        return slice(self.worker * n // self.workers, (self.worker + 1) * n // self.workers)


def flat_adam(parameters, team, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """torch.optim.Adam as a function, on one tensor of which the parameters become views; starts the team, of which
    each worker updates a part"""
    weights = torch.cat([p.detach().flatten() for p in parameters]).share_memory_()
    gradients = torch.zeros(team.workers, len(weights)).share_memory_()
    for p, view in zip(parameters, weights.split([p.numel() for p in parameters])):
        p.data = view.view(p.shape)
    team.start()
    part = team.part(len(weights))
    weights = weights[part]
    m, v, step = torch.zeros_like(weights), torch.zeros_like(weights), 0

    @torch.no_grad()
    def update():
        nonlocal step
        step += 1
        torch.cat([p.grad.flatten() for p in parameters], out=gradients[team.worker])
        team.wait()
        gradient = gradients[0] if team.workers == 1 else gradients[:, part].sum(0)
        m.mul_(beta1).add_(gradient, alpha=1 - beta1)
        v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = v.sqrt().mul_((1 - beta2**step) ** -0.5).add_(eps)
        weights.addcdiv_(m, denominator, value=-lr / (1 - beta1**step))
        team.wait()

    return update
