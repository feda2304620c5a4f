"""transformers, asked by a test: python3 exchange_peer.py save KIND DIR | compare DIR DIR

save: a small model with random weights, as save_pretrained writes it. compare: whether two folders hold the same model:
every weight, every size in config.json, and the logits of a few tokens. Ends with 1 and says what differs.
"""
import sys

import torch
import transformers

TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]])


def llama_sizes(**more):
    return {"vocab_size": 97, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32, "bos_token_id": 1,
            "eos_token_id": 2, **more}


def made(kind):
    torch.manual_seed(7)
    if kind.startswith("gpt2"):
        config = transformers.GPT2Config(vocab_size=97, n_positions=16, n_embd=24, n_layer=2, n_head=3, n_inner=50,
                                         bos_token_id=1, eos_token_id=2)
        # The inner model alone has no prefix in front of its names, as the published files.
        return (transformers.GPT2Model if "bare" in kind else transformers.GPT2LMHeadModel)(config)
    if kind == "mistral":
        return transformers.MistralForCausalLM(transformers.MistralConfig(**llama_sizes(sliding_window=5)))
    sizes = llama_sizes(head_dim=8, tie_word_embeddings="tied" in kind, rms_norm_eps=1e-5)
    config = transformers.LlamaConfig(**sizes)
    if hasattr(config, "rope_parameters"):
        config.rope_parameters = {"rope_type": "default", "rope_theta": 500.0}
    else:
        config.rope_theta = 500.0
    return transformers.LlamaForCausalLM(config)


def save(kind, folder):
    model = made(kind)
    for parameter in model.parameters():  # norms and biases begin with ones and zeros, which would hide an exchange
        torch.nn.init.normal_(parameter, std=0.3)
    if kind.endswith("bf16"):
        model = model.to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="15KB")


def loaded(folder):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
    problems = {key: value for key, value in info.items() if value}
    if problems:
        raise SystemExit(f"{folder} does not load cleanly: {problems}")
    return model.eval()


def sizes_of(model):
    values = model.config.to_dict()
    # What dropout a training would use is not part of the model, nor is who saved it.
    left_out = {"_name_or_path", "transformers_version", "attn_pdrop", "architectures", "pretraining_tp"}
    values = {key: value for key, value in values.items() if key not in left_out}
    if values["model_type"] == "gpt2" and values["n_inner"] is None:
        values["n_inner"] = 4 * values["n_embd"]
    return values


def compare(one, other):
    a, b = loaded(one), loaded(other)
    weights_a, weights_b = a.state_dict(), b.state_dict()
    problems = [f"{name} is in one alone" for name in weights_a.keys() ^ weights_b.keys()]
    for name in weights_a.keys() & weights_b.keys():
        x, y = weights_a[name], weights_b[name]
        if x.dtype != y.dtype or x.shape != y.shape or not torch.equal(x.view(torch.uint8), y.view(torch.uint8)):
            problems.append(f"{name} differs")
    sizes_a, sizes_b = sizes_of(a), sizes_of(b)
    problems += [f"{key} is {sizes_a.get(key)} and {sizes_b.get(key)}" for key in sizes_a.keys() | sizes_b.keys()
                 if sizes_a.get(key) != sizes_b.get(key)]
    with torch.no_grad():
        logits_a, logits_b = a(TOKENS).logits, b(TOKENS).logits
    if not torch.equal(logits_a, logits_b):
        problems.append(f"logits differ by up to {(logits_a - logits_b).abs().max()}")
    if problems:
        raise SystemExit("\n".join(problems))
    print(f"{type(b).__name__}, {len(weights_b)} tensors equal bit for bit, logits too")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    {"save": save, "compare": compare}[sys.argv[1]](*sys.argv[2:])
