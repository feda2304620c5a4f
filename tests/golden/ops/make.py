#!/usr/bin/env python3
"""Makes the goldens of tests/core/*_parity_test.cpp in this folder: what PyTorch computes in f64, stored in f32, for
ops, losses, optimizers and layers. Needs torch and safetensors; run it only to renew the files:

    python3 tests/golden/ops/make.py tests/golden/ops

Each case holds inputs x0, x1, ... (images as (B, H, W, C)), constants i0, i1, ..., the output y, the weights w of the
sum that backward starts from, and the gradients g0, g1, ... of the inputs.
"""
import os
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

OUT = {}


def first(x):
    """(B, H, W, C) -> (B, C, H, W)."""
    return x.permute(0, 3, 1, 2)


def last(x):
    return x.permute(0, 2, 3, 1)


def keep(name, tensor):
    kind = torch.float32 if tensor.is_floating_point() else tensor.dtype
    OUT[name] = tensor.detach().to(kind).contiguous().clone()


def case(name, inputs, function, constants=()):
    # Stored in f32: compute with what is stored.
    inputs = [x.float().double().requires_grad_() for x in inputs]
    y = function(*inputs, *constants)
    w = torch.randn(y.shape, dtype=torch.float64).float().double()
    (y * w).sum().backward()
    for k, x in enumerate(inputs):
        keep(f"{name}/x{k}", x)
        keep(f"{name}/g{k}", x.grad)
    for k, c in enumerate(constants):
        keep(f"{name}/i{k}", c.to(torch.int32) if c.dtype == torch.int64 else c)
    keep(f"{name}/y", y)
    keep(f"{name}/w", w)


def r(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def elements():
    x = r(4, 9)
    case("leaky_relu", [x], lambda x: F.leaky_relu(x, 0.2))
    case("silu", [x], F.silu)
    case("softplus", [x * 5], F.softplus)
    case("log_softmax", [x], lambda x: F.log_softmax(x, -1))
    case("exp", [x], torch.exp)
    case("log", [x.abs() + 0.1], torch.log)
    case("sqrt", [x.abs() + 0.1], torch.sqrt)
    case("power", [x.abs() + 0.1], lambda x: x.pow(1.7))
    case("clamp", [x], lambda x: x.clamp(-0.5, 0.8))
    case("where", [r(4, 9), r(4, 9)], lambda a, b, c: torch.where(c != 0, a, b), [torch.randint(0, 2, (4, 9)).byte()])
    case("gather", [r(5, 3)], lambda x, i: x[i], [torch.tensor([4, 0, 4, 2])])
    index = torch.randint(0, 9, (4, 5))
    case("take_along", [x], lambda x, i: x.gather(1, i), [index])
    case("scatter_along", [r(4, 5)], lambda x, i: torch.zeros(4, 9, dtype=x.dtype).scatter_add(1, i, x), [index])
    case("top_k", [x], lambda x: x.topk(3, -1).values)
    case("max_along", [x], lambda x: x.max(-1).values)
    case("min_along", [x], lambda x: x.min(-1).values)
    case("cumulative_sum", [r(2, 300)], lambda x: x.cumsum(-1))


def images():
    x = r(2, 4, 5, 3)
    for mode in ("constant", "reflect", "replicate", "circular"):
        extra = {"value": 0.5} if mode == "constant" else {}
        case("pad_" + mode, [x], lambda x: last(F.pad(first(x), (2, 1, 1, 3), mode=mode, **extra)))
    for mode in ("nearest", "bilinear", "bicubic"):
        case("resize_" + mode, [x], lambda x: last(F.interpolate(first(x), (7, 3), mode=mode)))
        if mode != "nearest":
            case(f"resize_{mode}_corners", [x],
                 lambda x: last(F.interpolate(first(x), (3, 8), mode=mode, align_corners=True)))
    case("pixel_shuffle", [r(2, 3, 2, 8)], lambda x: last(F.pixel_shuffle(first(x), 2)))
    case("pixel_unshuffle", [r(2, 4, 6, 2)], lambda x: last(F.pixel_unshuffle(first(x), 2)))
    x = r(2, 3, 4, 6)
    case("group_norm", [x, r(6), r(6)], lambda x, g, b: last(F.group_norm(first(x), 3, g, b)))
    case("instance_norm", [x, r(6), r(6)], lambda x, g, b: last(F.instance_norm(first(x), weight=g, bias=b)))
    x = r(2, 7, 8, 4)
    case("conv_dilated", [x, r(3, 3, 2, 4), r(3)],
         lambda x, f, b: last(F.conv2d(first(x), first(f), b, stride=(1, 2), padding=(2, 1), dilation=(2, 3))))
    case("conv_depthwise", [x, r(4, 3, 3, 1), r(4)],
         lambda x, f, b: last(F.conv2d(first(x), first(f), b, padding=1, groups=4)))
    x = r(2, 3, 4, 4)
    case("conv_transpose", [x, r(4, 3, 2, 3), r(6)],
         lambda x, f, b: last(F.conv_transpose2d(first(x), first(f), b, stride=(2, 3), padding=(1, 0),
                                                 output_padding=(1, 2), groups=2)))
    case("conv_transpose_dilated", [x, r(4, 3, 3, 2)],
         lambda x, f: last(F.conv_transpose2d(first(x), first(f), dilation=2)))


def losses():
    x, t = r(4, 6), r(4, 6).float().double()
    case("squared_loss", [x], lambda x, t: F.mse_loss(x, t, reduction="sum"), [t])
    case("absolute_loss", [x], lambda x, t: F.l1_loss(x, t, reduction="sum"), [t])
    case("smooth_l1_loss", [x], lambda x, t: F.smooth_l1_loss(x, t, reduction="sum", beta=0.7), [t])
    p = torch.rand(4, 6, dtype=torch.float64).float().double()
    case("binary_cross_entropy", [x * 4],
         lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="sum",
                                                         pos_weight=torch.tensor(2.5, dtype=x.dtype)), [p])
    signs = torch.where(t > 0, 1.0, -1.0).double()
    case("hinge_loss", [x], lambda x, t: (1 - t * x).clamp(min=0).sum(), [signs])
    q = F.softmax(r(4, 6), -1).float().double()
    case("kl_divergence", [x], lambda x, t: F.kl_div(F.log_softmax(x, -1), t, reduction="sum"), [q])
    case("multi_class_hinge", [x], lambda x, t: F.multi_margin_loss(x, t, margin=0.8, reduction="sum"),
         [torch.tensor([5, 0, 2, 2])])
    labels = torch.tensor([[1, 1, 3, 2], [2, 3, 1, 0], [3, 0, 0, 0]])
    case("ctc_loss", [r(3, 9, 5)],
         lambda x, l, f, n: F.ctc_loss(F.log_softmax(x, -1).transpose(0, 1), l, f, n, reduction="sum"),
         [labels, torch.tensor([9, 7, 5]), torch.tensor([4, 3, 1])])
    case("contrastive_loss", [r(5, 7), r(5, 7)],
         lambda a, b: F.cross_entropy(F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / 0.2, torch.arange(5),
                                      reduction="sum"))


def layer_case(name, module, names, inputs, function, constants=()):
    """Besides what case() keeps: each parameter p/NAME and its gradient q/NAME; `names` maps ours to (theirs, rows)."""
    module = module.float().double().train()
    module.zero_grad()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_((torch.randn(p.shape, dtype=torch.float64) * 0.4).float().double())
    case(name, inputs, function, constants)
    theirs = dict(module.named_parameters())
    for ours, (their, rows) in names.items():
        p = sum(theirs[t][rows] for t in their.split("+"))
        keep(f"{name}/p/{ours}", p)
        keep(f"{name}/q/{ours}", theirs[their.split("+")[0]].grad[rows])


ALL = slice(None)


def recurrent(kind, make, bidirectional, stated):
    layers, hidden, batch, time = 2, 5, 3, 7
    module = make(4, hidden, layers, batch_first=True, bidirectional=bidirectional)
    sides = ("forward", "backward") if bidirectional else ("forward",)
    names = {}
    for layer in range(layers):
        for side in sides:
            tail = f"l{layer}" + ("_reverse" if side == "backward" else "")
            ours = f"{layer}.{side}."
            names[ours + "weight_ih"] = ("weight_ih_" + tail, ALL)
            names[ours + "weight_hh"] = ("weight_hh_" + tail, ALL)
            if kind == "gru":
                names[ours + "bias_ih"] = ("bias_ih_" + tail, ALL)
                names[ours + "bias_hh"] = ("bias_hh_" + tail, ALL)
            else:  # two biases that are only ever added
                names[ours + "bias_ih"] = (f"bias_ih_{tail}+bias_hh_{tail}", ALL)
    count = layers * len(sides)
    lengths = torch.tensor([7, 2, 5])
    states = [r(count, batch, hidden) for _ in range(2 if kind == "lstm" else 1)] if stated else []

    def function(x, *rest):
        first = tuple(rest[:-1]) if len(rest) > 1 else None
        if first is not None and kind == "gru":
            first = first[0]
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, rest[-1], batch_first=True, enforce_sorted=False)
        y, last = module(packed, first)
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=time)
        last = last if isinstance(last, tuple) else (last,)
        return torch.cat([y.reshape(batch, -1)] + [one for state in last for one in state], -1)

    layer_case(kind + ("_both" if bidirectional else ""), module, names, [r(batch, time, 4)] + states, function,
               [lengths])


def attention_names(theirs, ours, width, cross=False):
    """Of a torch.nn.MultiheadAttention."""
    parts = {"query_": slice(0, width), "memory_": slice(width, 3 * width)} if cross else {"in_": ALL}
    out = {f"{ours}output_{part}": (f"{theirs}out_proj.{part}", ALL) for part in ("weight", "bias")}
    for part, rows in parts.items():
        out[ours + part + "weight"] = (theirs + "in_proj_weight", rows)
        out[ours + part + "bias"] = (theirs + "in_proj_bias", rows)
    return out


def padding(lengths, time):
    return torch.arange(time)[None, :] >= lengths[:, None]


def attention():
    width, heads, batch, time = 8, 2, 3, 5
    lengths = torch.tensor([5, 2, 4])
    causal = torch.triu(torch.full((time, time), float("-inf"), dtype=torch.float64), 1)
    module = torch.nn.MultiheadAttention(width, heads, batch_first=True)
    names = attention_names("", "", width)
    x = r(batch, time, width)
    layer_case("attention", module, names, [x], lambda x: module(x, x, x)[0])
    layer_case("attention_causal", module, names, [x], lambda x: module(x, x, x, attn_mask=causal)[0])
    layer_case("attention_lengths", module, names, [x],
               lambda x, n: module(x, x, x, key_padding_mask=padding(n, time))[0], [lengths])
    table = torch.nn.Parameter(torch.zeros(5, heads, dtype=torch.float64))
    module.register_parameter("table", table)
    place = (torch.arange(time)[None, :] - torch.arange(time)[:, None]).clamp(-2, 2) + 2
    layer_case("attention_relative", module, {**names, "relative": ("table", ALL)}, [x],
               lambda x: module(x, x, x, attn_mask=table[place].permute(2, 0, 1).repeat(batch, 1, 1))[0])
    del module._parameters["table"]
    layer_case("attention_cross", module, attention_names("", "", width, True), [x, r(batch, 4, width)],
               lambda x, m, n: module(x, m, m, key_padding_mask=padding(n, 4))[0], [torch.tensor([4, 1, 3])])


def block_names(theirs, ours, width, cross):
    out = attention_names(theirs + "self_attn.", ours + "attention.", width)
    if cross:
        out.update(attention_names(theirs + "multihead_attn.", ours + "cross.", width, True))
    for k in (1, 2):
        for part in ("weight", "bias"):
            out[f"{ours}linear{k}.{part}"] = (f"{theirs}linear{k}.{part}", ALL)
    for k in range(1, 4 if cross else 3):
        out[f"{ours}norm{k}.gain"] = (f"{theirs}norm{k}.weight", ALL)
        out[f"{ours}norm{k}.bias"] = (f"{theirs}norm{k}.bias", ALL)
    return out


def transformers():
    width, heads, inner, batch, time = 8, 2, 12, 3, 5
    lengths = torch.tensor([5, 2, 4])
    for name, first in (("encoder_block", False), ("encoder_block_before", True)):
        module = torch.nn.TransformerEncoderLayer(width, heads, inner, 0.0, "gelu", batch_first=True, norm_first=first)
        layer_case(name, module, block_names("", "", width, False), [r(batch, time, width)],
                   lambda x, n: module(x, src_key_padding_mask=padding(n, time)), [lengths])
    module = torch.nn.Transformer(width, heads, 2, 2, inner, 0.0, "relu", batch_first=True, norm_first=True)
    names = {}
    for layer in range(2):
        names.update(block_names(f"encoder.layers.{layer}.", f"encoder.{layer}.", width, False))
        names.update(block_names(f"decoder.layers.{layer}.", f"decoder.{layer}.", width, True))
    for side in ("encoder", "decoder"):
        names[side + ".norm.gain"] = (side + ".norm.weight", ALL)
        names[side + ".norm.bias"] = (side + ".norm.bias", ALL)
    mask = torch.triu(torch.full((4, 4), float("-inf"), dtype=torch.float64), 1)
    layer_case("transformer", module, names, [r(batch, time, width), r(batch, 4, width)],
               lambda s, t, n: module(s, t, tgt_mask=mask, src_key_padding_mask=padding(n, time),
                                      memory_key_padding_mask=padding(n, time)), [lengths])


def training():
    """Ten steps of an LSTM with a dense layer on its last output."""
    lstm, head = torch.nn.LSTM(4, 6, batch_first=True).double(), torch.nn.Linear(6, 3).double()
    lstm.bias_hh_l0.requires_grad_(False).zero_()  # of two biases that are only ever added, one is trained
    names = {"lstm.0.forward.weight_ih": lstm.weight_ih_l0, "lstm.0.forward.weight_hh": lstm.weight_hh_l0,
             "lstm.0.forward.bias_ih": lstm.bias_ih_l0, "head.weight": head.weight, "head.bias": head.bias}
    with torch.no_grad():
        for ours, p in names.items():
            p.copy_((r(*p.shape) * 0.5).float().double())
            keep("training/p/" + ours, p)
    x, labels = r(6, 5, 4).float().double(), torch.tensor([0, 1, 2, 2, 1, 0])
    keep("training/x", x)
    keep("training/labels", labels.to(torch.int32))
    optimizer, losses = torch.optim.SGD(names.values(), lr=0.2, momentum=0.9), []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(head(lstm(x)[0][:, -1]), labels)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    keep("training/losses", torch.tensor(losses, dtype=torch.float64))
    for ours, p in names.items():
        keep("training/after/" + ours, p)


RATE, STEPS = 0.02, 20


def lion(p, g, m):
    """Chen et al. 2023, algorithm 2."""
    blend = 0.9 * m + 0.1 * g
    return p - RATE * (blend.sign() + 0.1 * p), 0.99 * m + 0.01 * g


def lamb(p, g, state, t):
    """You et al. 2020, algorithm 2, with phi(x) = x."""
    m, v = state
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    u = m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-8) + 0.1 * p
    return p - RATE * p.norm() / u.norm() * u, (m, v)


def orthogonal(x):
    """Jordan et al. 2024, in the precision of x (torch.optim.Muon uses bfloat16)."""
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        s = x @ x.T
        x = 3.4445 * x + (-4.7750 * s + 2.0315 * s @ s) @ x
    return x.T if tall else x


def muon(p, g, m):
    m = m + 0.05 * (g - m)
    u = orthogonal(g + 0.95 * (m - g))
    return p * (1 - RATE * 0.1) - RATE * max(1, p.shape[0] / p.shape[1]) ** 0.5 * u, m


def optimizers():
    start = {k: r(*shape).float().double() for k, shape in (("wide", (4, 6)), ("tall", (7, 3)), ("vector", (5,)))}
    grads = {k: r(STEPS, *p.shape).float().double() for k, p in start.items()}
    for k, p in start.items():
        keep("start/" + k, p)
        keep("grad/" + k, grads[k])

    def run(name, make, only=lambda p: True):
        for k, p in start.items():
            if not only(p):
                continue
            p = p.clone().requires_grad_()
            optimizer = make([p])
            for t in range(STEPS):
                p.grad = grads[k][t].clone()
                optimizer.step()
            keep(f"{name}/{k}", p)

    run("rmsprop", lambda p: torch.optim.RMSprop(p, lr=RATE, alpha=0.9, eps=1e-8, weight_decay=0.1, momentum=0.9))
    run("rmsprop_plain", lambda p: torch.optim.RMSprop(p, lr=RATE, alpha=0.99, eps=1e-8))
    run("adafactor", lambda p: torch.optim.Adafactor(p, lr=RATE, eps=(1e-8, 1e-3), weight_decay=0.1))
    run("muon", lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=0.1), lambda p: p.dim() == 1)
    run("torch_muon", lambda p: torch.optim.Muon(p, lr=RATE, weight_decay=0.1), lambda p: p.dim() == 2)
    for k, p in start.items():
        a = b = c = p
        m, state, n = torch.zeros_like(p), (torch.zeros_like(p), torch.zeros_like(p)), torch.zeros_like(p)
        for t in range(STEPS):
            g = grads[k][t]
            a, m = lion(a, g, m)
            b, state = lamb(b, g, state, t + 1)
            if p.dim() == 2:
                c, n = muon(c, g, n)
        keep("lion/" + k, a)
        keep("lamb/" + k, b)
        if p.dim() == 2:
            keep("muon/" + k, c)
            other = OUT.pop("torch_muon/" + k)
            print(f"muon {k}: {float((other - c).norm() / c.norm()):.1e} from torch.optim.Muon, which rounds to bf16")


def schedules():
    p = torch.nn.Parameter(torch.zeros(1))

    def rates(make):
        optimizer = torch.optim.SGD([p], lr=0.5)
        schedule = make(optimizer)
        out = []
        for _ in range(40):
            out.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return torch.tensor(out, dtype=torch.float64)

    s = torch.optim.lr_scheduler
    keep("one_cycle", rates(lambda o: s.OneCycleLR(o, 0.5, total_steps=41, pct_start=0.3, div_factor=25,
                                                   final_div_factor=1e3)))
    keep("linear", rates(lambda o: s.LinearLR(o, 1.0, 0.1, total_iters=30)))
    keep("polynomial", rates(lambda o: s.PolynomialLR(o, 30, power=2)))


def save(folder, name):
    global OUT
    save_file(OUT, os.path.join(folder, name + ".safetensors"))
    os.chmod(os.path.join(folder, name + ".safetensors"), 0o644)
    print(f"{name}: {len(OUT)} tensors, {os.path.getsize(os.path.join(folder, name + '.safetensors'))} bytes")
    OUT = {}


if __name__ == "__main__":
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    torch.manual_seed(7)
    elements()
    images()
    losses()
    save(target, "ops")
    optimizers()
    schedules()
    save(target, "optimizers")
    for kind, make in (("lstm", torch.nn.LSTM), ("gru", torch.nn.GRU)):
        recurrent(kind, make, False, False)
        recurrent(kind, make, True, True)
    attention()
    transformers()
    training()
    save(target, "layers")
