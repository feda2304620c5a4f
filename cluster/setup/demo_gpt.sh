#!/usr/bin/env bash
# demo_gpt.sh [ARGUMENTS OF THE EXAMPLE]: from a clean clone to RANKS (2) ranks that train a small GPT on Jane Austen's
# novels. On the way one rank is killed and the run goes on from its checkpoint; at the end the model must be better
# than a bigram table of the same tokens, and writes a paragraph. `make demo-gpt` calls it; done steps are skipped.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
RANKS="${RANKS:-2}"
trireme=build/release/launcher/trireme
example=build/release/examples/language_model
text=data/austen-text data=data/austen run=runs/demo-gpt

cluster/setup/packages.sh build
timed "building into build/release" build release trireme language_model
status=0
cluster/setup/fetch_jane_austen.sh "$trireme" "$text" || status=$?
[[ $status -eq 0 ]] || exit "$status"
tokenizer=data/austen-tokenizer
[[ -d "$tokenizer" ]] ||
  timed "training a tokenizer" "$trireme" data train-tokenizer "$text" --vocabulary 1024 --out "$tokenizer"
[[ -d "$data" ]] ||
  timed "tokenizing" "$trireme" data tokenize "$text" --tokenizer "$tokenizer" --validation 0.05 --held-out tail --out "$data"

rm -rf "$run"
command=("$trireme" launch -n "$RANKS" -- "$example" --data "$data" --run-dir "$run" --checkpoint-every 100 --baseline "$@")
say "training on $RANKS ranks: ${command[*]}"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
started=$SECONDS
"${command[@]}" &
job=$!

# The kill: as soon as there is a checkpoint to go on from, the last rank dies without a word.
while kill -0 "$job" 2>/dev/null && ! compgen -G "$run/checkpoints/step_*" >/dev/null; do sleep 0.2; done
victim="$(pgrep -f "^$example .*--run-dir $run" | tail -n 1 || true)"
if [[ -n "$victim" ]]; then
  say "killing rank process $victim after its first checkpoint: kill -9"
  kill -9 "$victim" || true
fi
status=0
wait "$job" || status=$?
if [[ $status -eq 0 ]]; then
  warn "the run ended before one of its ranks could be killed"
  exit 1
fi
say "the job ended with status $status; the same command goes on from the checkpoint"
status=0
"${command[@]}" | tee "$log" || status=$?
[[ $status -eq 0 ]] || exit "$status"
say "training took $((SECONDS - started)) s with the kill"

ours="$(sed -n 's/.*validation loss \([0-9.]*\), perplexity.*/\1/p' "$log" | tail -n 1)"
bigram="$(sed -n 's/.*bigram baseline: validation loss \([0-9.]*\).*/\1/p' "$log" | tail -n 1)"
if ! awk -v a="$ours" -v b="$bigram" 'BEGIN { exit !(a != "" && b != "" && a + 0 < b + 0) }'; then
  warn "the model's validation loss '$ours' is not below that of the bigram table, '$bigram'"
  exit 1
fi
say "validation loss $ours, bigram table $bigram"
"$trireme" generate "$run" --prompt "It was" --tokens 150 --temperature 0.8 --top-k 40 --seed 1

cat <<END

What to type next
  write on from your own words: $trireme generate $run --prompt "Mr. Darcy"
  a Llama instead:              make demo-gpt ARGS="--model llama"
  give the model to others:     $trireme checkpoint export $run --to austen-hf
  all options:                  $example --help
END
