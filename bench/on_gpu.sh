#!/usr/bin/env bash
# Everything that a GPU should answer, the most valuable first, each part within its own time: bench/on_gpu.sh OUT
# About ten minutes. What a part prints goes to OUT as it runs; rows go to bench/results and are copied to OUT.
# FASTSR_DATA and FASTSR_VAL may name folders of images to train and to test on; default: sample photos.
set -uo pipefail
out=$(mkdir -p "${1:?usage: bench/on_gpu.sh OUT}" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD:$PWD/kernels${PYTHONPATH:+:$PYTHONPATH}"
data=${FASTSR_DATA:+--data $FASTSR_DATA} val=${FASTSR_VAL:+--val $FASTSR_VAL}
log="$out/log.txt" summary="$out/summary.txt"
: >"$log"
: >"$summary"

part() { # part SECONDS NAME COMMAND...
    local limit=$1 name=$2 began=$SECONDS status
    shift 2
    printf '\n===== %s\n' "$name" >>"$log"
    timeout --kill-after=10 "$limit" "$@" >>"$log" 2>&1
    status=$?
    printf '%-12s %4d s  %s\n' "$name" $((SECONDS - began)) \
        "$([ $status = 0 ] && echo done || { [ $status = 124 ] && echo "out of time" || echo "failed ($status)"; })" |
        tee -a "$summary"
    cp -f bench/results/*.jsonl "$out"/ 2>/dev/null
}

part 140 "GPU tests" python3 -m pytest -q -m gpu tests -p no:cacheprovider --benchmark-disable \
    --continue-on-collection-errors
part 180 "ladder" python3 -m pytest -q bench/test_ladder.py --benchmark-only --record -k "not autotune" \
    -p no:cacheprovider
part 60 "kernels" python3 -m pytest -q bench/test_cohort_loss.py bench/test_patch_sampler.py --benchmark-only --record \
    -p no:cacheprovider
part 20 "profile" python3 -m bench.profile_step
part 15 "alternatives" python3 -m pytest -q bench/test_alternatives.py --benchmark-only --record -p no:cacheprovider
# shellcheck disable=SC2086
part 65 "precision" python3 -m bench.compare_precisions --record $data $val
rm -rf "$out/run"
# shellcheck disable=SC2086
part 40 "training" python3 -m fastsr train --amp --compile --content random-vgg --steps 1000 --pretrain-steps 1000 \
    --recipe paper --log-every 100 --out "$out/run" $data $val
part 45 "autotune" python3 -m pytest -q bench/test_ladder.py --benchmark-only --record -k autotune -p no:cacheprovider
# Sees races in shared memory alone; those between programs show as values that differ, in the GPU tests.
if command -v compute-sanitizer >/dev/null; then
    part 20 "racecheck" compute-sanitizer --tool racecheck --error-exitcode 9 python3 -m pytest -q -m gpu \
        tests/kernels -k "of_large_maps and not 600000" -p no:cacheprovider
else
    echo "racecheck: compute-sanitizer is not installed" | tee -a "$summary"
fi
cp -f "$out"/run/metrics.jsonl "$out/training.jsonl" 2>/dev/null
cp -f "$(ls -t "$out"/run/pictures/*.png 2>/dev/null | head -1)" "$out/training.png" 2>/dev/null
rm -rf "$out/run"
cat "$summary"
! grep -q -e failed -e "out of time" "$summary"
