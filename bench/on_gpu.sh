#!/usr/bin/env bash
# Everything to measure on a GPU, the most valuable first, in two halves of at most nine minutes:
#   bench/on_gpu.sh OUT          the proof, tests of the captured step, the top of the ladder with its profile, other
#                                trainers
#   bench/on_gpu.sh OUT second   peers, the rest of the ladder, kernels, precisions, a training, tuning, other tests,
#                                autotune, racecheck
# Each part has its own time; one that fails costs only itself. Its output goes to OUT/HALF.log as it runs; rows go to
# bench/results and are copied to OUT. FASTSR_DATA and FASTSR_VAL may name folders of images; default: sample photos.
set -uo pipefail
usage="usage: bench/on_gpu.sh OUT [first|second]"
out=$(mkdir -p "${1:?$usage}" && cd "$1" && pwd) || exit 2
half=${2:-first}
cd "$(dirname "$0")/.." || exit 2
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD:$PWD/kernels${PYTHONPATH:+:$PYTHONPATH}"
data=${FASTSR_DATA:+--data $FASTSR_DATA} val=${FASTSR_VAL:+--val $FASTSR_VAL}
log="$out/$half.log" summary="$out/$half.txt"
end=$((SECONDS + 540))

# A bare image lacks modules, the C compiler and headers with which Triton builds its launchers, or a driver that works.
if ! missing=$(python3 -c "import fastsr.config.settings, fastsr.cli.main, pytest, pytest_benchmark, pytest_timeout" 2>&1)
then
    echo "cannot start: $(tail -n 1 <<<"$missing"); install with: pip install -e '.[test]'" >&2
    exit 2
fi
if ! missing=$(python3 -c "import torch; from fastsr.system import backend; backend.check_triton(torch.device('cuda'))" 2>&1)
then
    echo "cannot start: $(tail -n 1 <<<"$missing")" >&2
    exit 2
fi
: >"$log"
: >"$summary"

part() { # part SECONDS NAME COMMAND...
    local limit=$1 name=$2 began=$SECONDS status outcome
    shift 2
    # At most 20 s pass between SIGINT, upon which pytest reports what has failed so far, and SIGKILL.
    limit=$((limit < end - SECONDS - 20 ? limit : end - SECONDS - 20))
    if [ "$limit" -lt 5 ]; then
        printf '%-18s %4d s  %s\n' "$name" 0 "out of time" | tee -a "$summary"
        return
    fi
    printf '\n===== %s\n' "$name" >>"$log"
    timeout -s INT -k 20 "$limit" "$@" >>"$log" 2>&1
    status=$?
    case $status in
        0) outcome="done" ;;
        124) outcome="out of time" ;;
        137) outcome="killed, out of time or of memory" ;;
        *) outcome="failed ($status)" ;;
    esac
    printf '%-18s %4d s  %s\n' "$name" $((SECONDS - began)) "$outcome" | tee -a "$summary"
    cp -f bench/results/*.jsonl "$out"/ 2>/dev/null
}

gpu_tests() { # gpu_tests SECONDS NAME ARGUMENTS...
    part "$1" "$2" python3 -m pytest -m gpu -v --tb=short -p no:cacheprovider --benchmark-disable \
        --continue-on-collection-errors "${@:3}"
}

benchmarks() { # benchmarks SECONDS NAME ARGUMENTS...
    part "$1" "$2" python3 -m pytest -v --tb=short -p no:cacheprovider --benchmark-only --record "${@:3}"
}

first_half() {
    proof
    gpu_tests 130 "step tests" tests/fastsr/cohort/test_capture.py tests/fastsr/cohort/test_fused.py \
        tests/fastsr/cohort/test_updates.py tests/fastsr/proof
    benchmarks 120 "top rung" bench/test_ladder.py -k parallel
    part 45 "profile x4" python3 -m bench.profile_step --scale 4
    part 45 "profile x2" python3 -m bench.profile_step --scale 2
    benchmarks 110 "other trainers" bench/test_ladder.py -k "usual or BasicSR"
}

# Eager here, which needs no compiler; the training of the second half proves what is compiled.
proof() {
    part 80 "proof" env -C "$out" python3 -m fastsr doctor --prove --amp --content random-vgg --recipe paper
}

# Parts mostly end before their time, so that the times add up to more than there is; the last ones get what is left.
second_half() {
    benchmarks 75 "peers" bench/test_ladder.py -k "test_peers or test_streams"
    benchmarks 75 "rest of ladder" bench/test_ladder.py \
        -k "not (usual or BasicSR or peers or streams or autotune)"
    benchmarks 50 "kernels" bench/test_cohort_loss.py bench/test_patch_sampler.py bench/test_alternatives.py
    # shellcheck disable=SC2086
    part 60 "precisions" python3 -m bench.compare_precisions --steps 600 --only fp32 bf16 fp16 --record $data $val
    training
    tuning
    other_tests
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
training() {
    train 80 "training" --steps 2000 --pretrain-steps 1000 --no-tune
    cp -f "$out/run/metrics.jsonl" "$out/training.jsonl" 2>/dev/null
    cp -f "$(ls -t "$out"/run/pictures/*.png 2>/dev/null | head -1)" "$out/training.png" 2>/dev/null
    rm -rf "$out/run"
}

# Compiled code is there from the training; up to 90 s for all candidates, whose table is printed at the end.
tuning() {
    train 125 "tuning" --steps 100
    rm -rf "$out/run"
}

# By name, as collecting all tests would take most of the time.
other_tests() {
    local files
    mapfile -t files < <(grep -rl --include='test_*.py' 'mark\.gpu' tests/fastsr | grep -v tests/fastsr/cohort)
    gpu_tests 90 "other GPU tests" tests/kernels "${files[@]}"
}

# Sees races in shared memory alone; those between programs show as values that differ, in the GPU tests.
racecheck() {
    if ! command -v compute-sanitizer >/dev/null; then
        echo "racecheck: compute-sanitizer is not installed" | tee -a "$summary"
        return
    fi
    part 25 "racecheck" compute-sanitizer --tool racecheck --error-exitcode 9 python3 -m pytest -v --tb=short -m gpu \
        tests/kernels -k "of_large_maps and not 600000" -p no:cacheprovider
}

case $half in
    first) first_half ;;
    second) second_half ;;
    *)
        echo "$usage" >&2
        exit 2
        ;;
esac
! grep -q -e failed -e "out of time" "$summary"
