#!/usr/bin/env bash
# Everything to measure on a GPU, the most valuable first, for machines that are lent for minutes:
#   bench/on_gpu.sh OUT           9 minutes: GPU tests, the top of the ladder, profiles, the usual loop, variants, proof
#   bench/on_gpu.sh OUT short     4 minutes: a training, the largest tests, the ladder at x4, peers, tuning
#   bench/on_gpu.sh OUT second    9 minutes, where there is time: short's in full, kernels, precisions, autotune, racecheck
# OUT [HALF [SECONDS]] [--dry-run]: SECONDS for all of it, installation included; --dry-run prints what it would run.
# Each part has its own time; one that fails costs only itself. Outputs go to OUT/HALF.log as parts end, until then each
# to a file of its own there; rows go to bench/results and are copied to OUT. FASTSR_DATA and FASTSR_VAL may name folders
# of images (default: sample photos), FASTSR_WHEELS one of wheels to install, where no package index can be reached,
# FASTSR_COMMIT the commit that rows name, where this is no checkout.
set -uo pipefail
usage="usage: bench/on_gpu.sh OUT [first|short|second [SECONDS]] [--dry-run]"
dry_run=
if [ "${*: -1}" = --dry-run ]; then
    dry_run=yes
    set -- "${@:1:$#-1}"
fi
out=$(mkdir -p "${1:?$usage}" && cd "$1" && pwd) || exit 2
half=${2:-first}
case $half in
    first) seconds=530 ;;
    short) seconds=230 ;;
    second) seconds=540 ;;
    *)
        echo "$usage" >&2
        exit 2
        ;;
esac
end=$((SECONDS + ${3:-$seconds}))
# At most so many seconds pass between SIGINT, upon which pytest reports what has failed so far, and SIGKILL.
grace=$((${3:-$seconds} < 200 ? 1 + ${3:-$seconds} / 10 : 20))
cd "$(dirname "$0")/.." || exit 2
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD:$PWD/kernels${PYTHONPATH:+:$PYTHONPATH}"
data=${FASTSR_DATA:+--data $FASTSR_DATA} val=${FASTSR_VAL:+--val $FASTSR_VAL}
log="$out/$half.log" summary="$out/$half.txt" began_file="$out/.$half"
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work" "$began_file"' EXIT

# A bare image lacks modules, the C compiler and headers with which Triton builds its launchers, or a driver that works.
check_start() {
    python3 - <<'PYTHON'
from importlib.util import find_spec

NEEDED = """filelock hypothesis jinja2 numpy PIL pytest pytest_benchmark pytest_timeout rich safetensors tensorboard
tomli_w torch triton tyro xdist yaml"""
if missing := [name for name in NEEDED.split() if find_spec(name) is None]:
    raise SystemExit(f"there is no {', '.join(missing)}; install with: pip install -e '.[test]', or FASTSR_WHEELS=FOLDER")
import torch

import fastsr.cli.main
from fastsr.system import backend

backend.check_triton(torch.device("cuda"))
PYTHON
}

begin() {
    if [ -n "${FASTSR_WHEELS:-}" ]; then
        python3 -m pip install -q --no-index --no-deps --no-compile --disable-pip-version-check --target "$work/site" \
            "$FASTSR_WHEELS"/*.whl >"$work/pip" 2>&1 || refuse "$(tail -n 1 "$work/pip")"
        PYTHONPATH="$PYTHONPATH:$work/site"
    fi
    local found
    found=$(check_start 2>&1) || refuse "$(tail -n 1 <<<"$found")"
    : >"$log"
    : >"$summary"
    : >"$began_file"
}

refuse() {
    echo "cannot start: $1" >&2
    exit 2
}

part() { # part SECONDS NAME COMMAND...
    local limit=$1 name=$2 began=$SECONDS status outcome own
    shift 2
    if [ -n "$dry_run" ]; then
        printf '%-18s %4d s ' "$name" "$limit"
        printf ' %q' "$@"
        echo
        return
    fi
    limit=$((limit < end - SECONDS - grace ? limit : end - SECONDS - grace))
    if [ "$limit" -lt "$grace" ] && [ "$limit" -lt 5 ]; then
        printf '%-18s %4d s  %s\n' "$name" 0 "out of time" | tee -a "$summary"
        return
    fi
    own="$out/$half-${name// /-}.log"
    timeout -s INT -k "$grace" "$limit" "$@" >"$own" 2>&1
    status=$?
    case $status in
        0) outcome="done" ;;
        124) outcome="out of time" ;;
        137) outcome="killed, out of time or of memory" ;;
        *) outcome="failed ($status)" ;;
    esac
    { printf '\n===== %s: %s\n' "$name" "$outcome"; cat "$own"; } >>"$log" && rm -f "$own"
    printf '%-18s %4d s  %s\n' "$name" $((SECONDS - began)) "$outcome" | tee -a "$summary"
    find bench/results -maxdepth 1 -name '*.jsonl' -newer "$began_file" -exec cp -f {} "$out"/ \;
}

gpu_tests() { # gpu_tests SECONDS NAME ARGUMENTS...
    part "$1" "$2" python3 -m pytest -m gpu -v --tb=short --timeout=90 -n 6 -p no:cacheprovider --benchmark-disable \
        --continue-on-collection-errors "${@:3}"
}

benchmarks() { # benchmarks SECONDS NAME ARGUMENTS...
    part "$1" "$2" python3 -m pytest -v --tb=short -p no:cacheprovider --benchmark-only --record "${@:3}"
}

first_half() {
    step_tests
    benchmarks 50 "not compiled" bench/test_ladder.py -k "uncompiled and x4"
    benchmarks 100 "top rung x4" bench/test_ladder.py -k "parallel and x4"
    part 30 "profile eager" python3 -m bench.profile_step --no-compile
    part 45 "profile x4" python3 -m bench.profile_step --scale 4
    benchmarks 60 "usual loop" bench/test_ladder.py -k "x4 and usual"
    part 100 "variants" python3 -m bench.variants --record
    part 80 "proof" env -C "$out" python3 -m fastsr doctor --prove --amp --content random-vgg --recipe paper
    benchmarks 60 "other trainers" bench/test_ladder.py -k "trainer or BasicSR"
    benchmarks 100 "top rung x2" bench/test_ladder.py -k "parallel and x2"
    part 45 "profile x2" python3 -m bench.profile_step --scale 2
}

# Side by side, each in a process of its own: an illegal access in one spoils no other. They take little memory. The last
# one compiles, for the top rung to find it done; its times mean nothing, but its kernels and whether they run do.
step_tests() {
    aside gpu_tests 150 "capture tests" tests/fastsr/cohort/test_capture.py tests/fastsr/cohort/test_updates.py
    aside gpu_tests 150 "fused tests" tests/fastsr/cohort/test_fused.py tests/fastsr/data/test_sampler.py \
        tests/fastsr/proof -k "not tuned"
    aside gpu_tests 150 "kernel tests" tests/kernels
    aside part 150 "compiling x4" python3 -m bench.profile_step --scale 4
    wait
}

aside() { # aside COMMAND...: in the background; but a plan in order
    if [ -n "$dry_run" ]; then "$@"; else "$@" & fi
}

short_half() {
    training 75
    other_tests 55
    benchmarks 60 "ladder x4" bench/test_ladder.py::test_ladder -k "x4 and not (usual or parallel)"
    benchmarks 60 "peers" bench/test_ladder.py -k test_peers
    tuning
}

# Parts mostly end before their time, so that the times add up to more than there is; the last ones get what is left.
second_half() {
    benchmarks 75 "peers" bench/test_ladder.py -k "test_peers or test_streams"
    benchmarks 75 "rest of ladder" bench/test_ladder.py \
        -k "not (usual or BasicSR or peers or streams or autotune or x4 and (parallel or uncompiled))"
    benchmarks 50 "kernels" bench/test_cohort_loss.py bench/test_patch_sampler.py bench/test_alternatives.py
    # shellcheck disable=SC2086
    part 60 "precisions" python3 -m bench.compare_precisions --steps 600 --only fp32 bf16 fp16 --record $data $val
    training 80
    tuning
    other_tests 50
    benchmarks 35 "autotune" bench/test_ladder.py -k autotune
    racecheck
}

train() { # train SECONDS NAME OPTIONS...
    rm -rf "$out/run"
    # shellcheck disable=SC2086
    part "$1" "$2" python3 -m fastsr train --amp --compile --content random-vgg --recipe paper --log-every 100 \
        --out "$out/run" "${@:3}" $data $val
}

# Not tuned: looking for the fastest settings would take the time that is for training.
training() { # training SECONDS
    train "$1" "training" --steps 2000 --pretrain-steps 1000 --no-tune
    cp -f "$out/run/metrics.jsonl" "$out/training.jsonl" 2>/dev/null
    # shellcheck disable=SC2012 # names of ours, without spaces
    cp -f "$(ls -t "$out"/run/pictures/*.png 2>/dev/null | head -1)" "$out/training.png" 2>/dev/null
    rm -rf "$out/run"
}

# Compiled code is there from the training; up to 90 s for all candidates, whose table is printed at the end.
tuning() {
    train 125 "tuning" --steps 100
    rm -rf "$out/run"
}

# By name, as collecting all tests would take most of the time. Kernels and the cohort have had their turn.
other_tests() { # other_tests SECONDS
    local files
    mapfile -t files < <(grep -rl --include='test_*.py' 'mark\.gpu' tests/fastsr |
        grep -v -e tests/fastsr/cohort -e tests/fastsr/proof -e tests/fastsr/data/test_sampler.py)
    gpu_tests "$1" "other GPU tests" "${files[@]}"
}

# Sees races in shared memory alone; those between programs show as values that differ, in the GPU tests.
racecheck() {
    if [ -z "$dry_run" ] && ! command -v compute-sanitizer >/dev/null; then
        echo "racecheck: compute-sanitizer is not installed" | tee -a "$summary"
        return
    fi
    part 25 "racecheck" compute-sanitizer --tool racecheck --error-exitcode 9 python3 -m pytest -v --tb=short -m gpu \
        tests/kernels -k "of_large_maps and not 600000" -p no:cacheprovider
}

[ -n "$dry_run" ] || begin
"${half}_half"
[ -n "$dry_run" ] || ! grep -q -e failed -e "out of time" "$summary"
