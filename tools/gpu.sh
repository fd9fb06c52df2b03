#!/bin/sh
# What a lent GPU is asked for, most telling first, in the time there is:
#
#     [BUDGET=540] [OUT=folder] [COSENT_DATA_DIR=folder] [PYTHON=python3] sh tools/gpu.sh
#
# 1. the tests that need CUDA, 2. the speed of the loss, 3. the declared runs that have no record, suite by suite. Each
# step is cut off when BUDGET (seconds) is spent; what a run finished is in its suite's file, so that the next call goes
# on there. Results are copied to OUT: tests.log, speed.log, runs.log and the records (some megabytes).
set -u
cd "$(dirname "$0")/.." || exit 1
BUDGET=${BUDGET:-540} OUT=${OUT:-_build/gpu} PYTHON=${PYTHON:-python3} DEVICE_TESTS=${DEVICE_TESTS:-cuda}
SUITES=${SUITES:-"e5 minilm_grid table main"}
begun=$(date +%s)
mkdir -p "$OUT"

left() { echo $((BUDGET - $(date +%s) + begun - 10)); }
for_at_most() { # seconds, log, command …
    seconds=$1 log=$2
    shift 2
    [ "$(left)" -lt "$seconds" ] && seconds=$(left)
    [ "$seconds" -lt 5 ] && { echo "no time left for: $*" | tee -a "$OUT/$log"; return; }
    echo "== $* (at most $seconds s)" | tee -a "$OUT/$log"
    timeout -s INT "$seconds" "$@" >>"$OUT/$log" 2>&1
    echo "== ended with $? after $(($(date +%s) - begun)) s" | tee -a "$OUT/$log"
}

"$PYTHON" -c 'import torch; print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())' |
    tee "$OUT/tests.log"
for_at_most 120 tests.log "$PYTHON" -m pytest -q -p no:cacheprovider -k "$DEVICE_TESTS" tests/cosent_lib
for_at_most 60 speed.log "$PYTHON" -m cosent_book speed --only loss --output "$OUT/speed.json"
for suite in $SUITES; do
    for_at_most "$BUDGET" runs.log "$PYTHON" -m cosent_book benchmark "$suite" --no-progress
    cp cosent_book/results/"$suite".jsonl "$OUT"/ 2>/dev/null
done
du -sh "$OUT"
