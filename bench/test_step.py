"""Speed, FLOPs and peak memory of the cohort's step against SRGANs trained one after the other."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.machine import teraflop
from bench.setups import make_baseline, make_step, share_weights
from bench.timing import alternate, median_cpu, median_wall, summary
from fastsr.cohort.compile import compile_cohort
from fastsr.config.settings import TrainConfig
from fastsr.data.sampler import PatchSampler

SMALLEST_RATIO = 1.0


class Contest:
    """A cohort and a baseline of the same weights, which train on the same patches step by step."""

    def __init__(self, recipe: TrainConfig, sampler: PatchSampler) -> None:
        self.sampler = sampler
        self.cohort_step = make_step(recipe, sampler)
        self.baseline = make_baseline(recipe, sampler.store.device)
        share_weights(self.cohort_step.cohort, self.baseline)

    def baseline_step(self) -> list[dict[str, float]]:
        """The patches of the cohort's coming step, in torch's default memory format.

        Their drawing counts for the baseline too: 0.1 % of its step.
        """
        lr_NChw, hr_NCHW = (
            x.contiguous() for x in self.sampler.draw(self.cohort_step.cohort.schedule.step_count)
        )
        return self.baseline.step(lr_NChw, hr_NCHW)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["eager", "compile"])
def test_step_against_baseline(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    recipe: TrainConfig,
    sampler: PatchSampler,
    is_paper: bool,
    mode: str,
) -> None:
    contest = Contest(recipe, sampler)
    flops = {"baseline": teraflop(contest.baseline_step), "cohort": teraflop(contest.cohort_step)}
    if mode == "compile":
        compile_cohort(contest.cohort_step.cohort)
    cohort_s, baseline_s = alternate(benchmark, contest.cohort_step, contest.baseline_step)
    ratio = median_wall(baseline_s) / median_wall(cohort_s)
    report(
        {
            "ratio": round(ratio, 3),
            "ratio_of_cpu_seconds": round(median_cpu(baseline_s) / median_cpu(cohort_s), 3),
            "cohort": summary(cohort_s),
            "baseline": summary(baseline_s),
            "teraflop": flops,
        }
    )
    if is_paper:
        assert ratio >= SMALLEST_RATIO


@pytest.mark.timeout(900)
def test_peak_memory(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    pytestconfig: pytest.Config,
    is_paper: bool,
) -> None:
    """Two steps of each contestant in fresh processes. The time reported is that of both, torch's import included."""
    bytes_of = benchmark.pedantic(
        lambda: {
            name: fresh_process(name, is_paper, pytestconfig) for name in ("cohort", "baseline")
        }
    )
    report(
        {
            name: {key: f"{value / 2**30:.3f} GiB" for key, value in row.items()}
            for name, row in bytes_of.items()
        }
    )


def fresh_process(contestant: str, is_paper: bool, config: pytest.Config) -> dict[str, int]:
    """Bytes that `bench.peak_memory` prints, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "bench.peak_memory",
        contestant,
        *(["--paper"] if is_paper else []),
    ]
    done = subprocess.run(command, cwd=config.rootpath, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
