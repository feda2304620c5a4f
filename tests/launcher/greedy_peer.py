#!/usr/bin/env python3
"""greedy_peer.py TRIREME RUN [PROMPT...]: exports a run of language_model, loads the folder in Hugging Face transformers, and
compares the greedy text after each prompt, there and by `trireme generate`.
Needs torch, transformers and tokenizers. Ends with 1 where they differ."""
import subprocess
import sys
import tempfile

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

TOKENS = 40


def main():
    trireme, run = sys.argv[1:3]
    prompts = sys.argv[3:] or ["It was", "She had never", "Mr. Darcy"]
    differ = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([trireme, "checkpoint", "export", run, "--to", folder + "/model"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        model = AutoModelForCausalLM.from_pretrained(folder + "/model").eval()
        tokenizer = Tokenizer.from_file(folder + "/model/tokenizer.json")
        print(f"{type(model).__name__}, {sum(p.numel() for p in model.parameters())} parameters")
        for prompt in prompts:
            ids = torch.tensor([tokenizer.encode(prompt).ids])
            with torch.inference_mode():
                for _ in range(TOKENS):
                    ids = torch.cat((ids, model(ids).logits[:, -1].argmax(-1, keepdim=True)), 1)
            theirs = tokenizer.decode(ids[0].tolist(), skip_special_tokens=False)
            ours = subprocess.run([trireme, "generate", run, "--prompt", prompt, "--tokens", str(TOKENS), "--temperature",
                                   "0"], check=True, capture_output=True, text=True).stdout[:-1]
            same = theirs == ours
            differ += not same
            print(f"{'same' if same else 'DIFFERENT'}: {ours!r}" + ("" if same else f"\n  there: {theirs!r}"))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
