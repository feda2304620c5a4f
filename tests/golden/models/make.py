#!/usr/bin/env python3
"""Makes the goldens of tests/core/model_parity_test.cpp: a tiny GPT-2 and a tiny Llama of Hugging Face transformers with
random weights, and what PyTorch computes with them in f64: logits, loss, every gradient, the losses of 20 AdamW steps
and the weights after them. Needs torch, transformers and safetensors; run it only to renew the files:

    python3 tests/golden/models/make.py tests/golden/models
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

STEPS, RATE, BETAS, EPSILON, DECAY = 20, 1e-3, (0.9, 0.95), 1e-8, 0.1


def gpt2():
    config = GPT2Config(vocab_size=53, n_positions=20, n_embd=16, n_layer=2, n_head=4, n_inner=40, resid_pdrop=0.0,
                        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config)


def llama():
    config = LlamaConfig(vocab_size=53, max_position_embeddings=20, hidden_size=16, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, intermediate_size=24, tie_word_embeddings=False,
                         rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=0)
    return LlamaForCausalLM(config)


def named(model):
    """Tied tensors once, under the name of the embedding."""
    seen, out = set(), {}
    for name, parameter in model.named_parameters():
        if id(parameter) not in seen:
            seen.add(id(parameter))
            out[name] = parameter
    return out


def make(name, model, folder):
    os.makedirs(folder, exist_ok=True)
    parameters = named(model)
    with torch.no_grad():
        for key, parameter in parameters.items():
            noise = torch.randn(parameter.shape) * 0.25
            is_gain = parameter.dim() == 1 and key.endswith("weight")
            parameter.copy_(noise + 1 if is_gain else noise)
    save_file({k: v.detach().clone().contiguous() for k, v in parameters.items()},
              os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(folder, "config.json"), "w") as file:
        config = model.config.to_dict()
        config["architectures"] = [type(model).__name__]
        json.dump(config, file, indent=1, sort_keys=True)
        file.write("\n")
    model.double().train()
    ids = torch.randint(0, 53, (3, 17))
    inputs, labels = ids[:, :-1], ids[:, 1:].clone()
    labels[1, 5] = -100
    out = {"ids": inputs.to(torch.int32).contiguous(),
           "labels": torch.where(labels < 0, -1, labels).to(torch.int32).contiguous()}

    def loss_of():
        logits = model(input_ids=inputs).logits
        return logits, torch.nn.functional.cross_entropy(logits.reshape(-1, 53), labels.reshape(-1))

    decayed = [p for p in parameters.values() if p.dim() > 1]
    plain = [p for p in parameters.values() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}],
                                  lr=RATE, betas=BETAS, eps=EPSILON)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        logits, loss = loss_of()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            out["logits"] = logits.detach().clone().contiguous()
            for key, parameter in parameters.items():
                out["gradient/" + key] = parameter.grad.detach().clone().contiguous()
        optimizer.step()
    out["losses"] = torch.tensor(losses, dtype=torch.float64)
    for key, parameter in parameters.items():
        out["after/" + key] = parameter.detach().clone().contiguous()
    save_file(out, os.path.join(folder, "expected.safetensors"))
    print(f"{name}: loss {losses[0]:.6f} -> {losses[-1]:.6f}, {len(parameters)} tensors")


if __name__ == "__main__":
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    torch.manual_seed(20)
    make("gpt2", gpt2(), os.path.join(target, "gpt2"))
    make("llama", llama(), os.path.join(target, "llama"))
