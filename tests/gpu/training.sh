#!/usr/bin/env bash
# training.sh [BUILD] [DEVICE] [MODEL]: short trainings on one device, from data that it makes itself: both examples, an
# f32 run beside a bf16 run of MODEL (gpt2: 124 million parameters), and a run that is killed and goes on, whose tensors
# must be those of a run nobody touched, bit for bit. Defaults: build/release cuda gpt2; `cpu gpt` checks the script.
# One line a stage, NAME|SECONDS|RESULT, for run.sh; status 1 where one failed. What programs say goes to training.log.
# shellcheck disable=SC2317  # stages are called by their names
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
case "${1:-}" in -h | --help) sed -n '2,5s/^# //p' "$0" && exit 0 ;; esac
build="${1:-$root/build/release}" device="${2:-cuda}" model="${3:-gpt2}"
folder="${OUT:-$root/build/gpu}"
mkdir -p "$folder"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
log="$folder/training.log"
: >"$log"
trireme="$build/launcher/trireme" images="$build/examples/image_classification" language="$build/examples/language_model"
small=1 steps=60 every=10
[[ "$model" == gpt ]] || small=0 steps=1000 every=50 # a GPU must not be done before it can be killed
status=0

# stage NAME FUNCTION: runs it with its output in the log; its last line is the result where it says one.
stage() {
  local name="$1" started="$SECONDS" code=0 said
  echo "=== $name" >>"$log"
  said="$("$2" 2>>"$log")" || code=$?
  echo "$said" >>"$log"
  if [[ $code -ne 0 ]]; then
    status=1
    said="FAILED: status $code, $(grep -E 'rror|FAILED' "$log" | tail -n 1 | cut -c1-100)"
  else
    said="$(tail -n 1 <<<"$said")"
    said="${said:-passed}"
  fi
  echo "$name|$((SECONDS - started))|$said"
}

# The last record of a kind in a run's metrics: value FOLDER KIND FIELD.
value() { grep "\"kind\":\"$2\"" "$1/metrics.jsonl" | tail -n 1 | grep -oE "\"$3\":[0-9.eE+-]+" | cut -d: -f2; }

make_data() {
  "$trireme" data generate shapes --out "$work/shapes" >&2 &&
    cat "$root"/docs/*.md "$root"/*.md >"$work/text.txt" &&
    "$trireme" data train-tokenizer "$work/text.txt" --vocabulary 1024 --out "$work/tokenizer" >&2 &&
    "$trireme" data tokenize "$work/text.txt" --tokenizer "$work/tokenizer" --validation 0.05 --held-out tail \
      --out "$work/tokens" >&2
}

train_images() {
  "$images" --device "$device" --data "$work/shapes" --run-dir "$work/images" --epochs 1 --max-steps 200 \
    --checkpoint-every off >&2 || return
  local loss
  loss="$(value "$work/images" step loss)"
  echo "passed: loss $loss"
  awk -v l="$loss" 'BEGIN { exit !(l != "" && l + 0 < 2.2) }' # log(10) is that of guessing
}

train_language() {
  "$language" --device "$device" --data "$work/tokens" --run-dir "$work/language" --max-steps 150 \
    --prompt "" >&2 || return
  "$trireme" generate "$work/language" --device "$device" --prompt "The " --tokens 20 --temperature 0 >&2 || return
  local loss
  loss="$(value "$work/language" validation loss)"
  echo "passed: validation loss $loss"
  awk -v l="$loss" 'BEGIN { exit !(l != "" && l + 0 < 6.5) }' # log(1024) is 6.93
}

# 200 steps of the larger model in a precision; its last loss.
train_in() {
  local size=(--context 1024 --batch 8 --max-steps 200 --vocabulary 50304)
  [[ $small -eq 0 ]] || size=(--context 32 --batch 8 --max-steps 20)
  "$language" --device "$device" --data "$work/tokens" --model "$model" "${size[@]}" --precision "$1" --seed 3 \
    --learning-rate 3e-4 --epochs 1000 --validation 0 --validate-every 1000000 --log-every 10 --checkpoint-every off \
    --prompt "" --run-dir "$work/$1" >&2 && value "$work/$1" step loss
}

compare_precisions() {
  if ! "$language" --help | grep -A3 -e --precision | grep -q bf16; then
    echo "skipped: no bf16 in this build"
    return
  fi
  local full half
  full="$(train_in f32)" && half="$(train_in bf16)" || return
  echo "passed: loss $full in f32, $half in bf16"
  awk -v a="$full" -v b="$half" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a != "" && b != "" && d < 0.03 * a) }'
}

# resume_run FOLDER: a run with dropout, so that draws are resumed too.
resume_run() {
  "$language" --device "$device" --data "$work/tokens" --run-dir "$work/$1" --max-steps "$steps" --epochs 1000 \
    --dropout 0.1 --batch 8 --validation 0 --validate-every 1000000 --prompt "" --checkpoint-every "$every" \
    --keep-last 9 --log-every 10 >&2
}

kill_and_resume() {
  resume_run whole || return
  resume_run killed &
  local job=$! tries=0
  until compgen -G "$work/killed/checkpoints/step_*" >/dev/null; do
    if ! kill -0 "$job" 2>/dev/null || [[ $((tries += 1)) -ge 1200 ]]; then break; fi
    sleep 0.05
  done
  pkill -KILL -P "$job" 2>/dev/null
  if wait "$job"; then
    echo "error: the run ended before it could be killed" >&2
    return 1
  fi
  resume_run killed || return
  "$trireme" checkpoint diff "$work/whole" "$work/killed" --tensors >&2 || return
  echo "passed: equal bit for bit"
}

stage "data for the trainings" make_data
stage "image_classification" train_images
stage "language_model, generate" train_language
stage "$model in f32 and bf16" compare_precisions
stage "kill and resume" kill_and_resume
exit "$status"
