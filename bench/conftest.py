"""Options and fixtures of the benchmarks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.rows import append_row, circumstances
from bench.setups import make_sampler, paper_recipe, sample_store, small_recipe
from fastsr.config.settings import TrainConfig
from fastsr.data.sampler import PatchSampler
from fastsr.system.device import choose_device

LINES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fastsr benchmarks")
    group.addoption(
        "--paper",
        action="store_true",
        help="the paper's recipe at x4 instead of a small one (minutes)",
    )
    group.addoption(
        "--test-set",
        help="folder of a test set to evaluate on, such as Urban100's; else a few sample photos",
    )
    group.addoption("--record", action="store_true", help="append every result to bench/results")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LINES] = []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in config.stash[LINES]:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def is_paper(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--paper"))


@pytest.fixture(scope="session")
def recipe(is_paper: bool) -> TrainConfig:
    return paper_recipe() if is_paper else small_recipe()


@pytest.fixture(scope="session")
def device() -> torch.device:
    return choose_device("auto")


@pytest.fixture(scope="session")
def sampler(recipe: TrainConfig, device: torch.device) -> PatchSampler:
    return make_sampler(recipe, sample_store(device))


@pytest.fixture(scope="session")
def about() -> dict[str, Any]:
    return circumstances()


@pytest.fixture
def report(
    request: pytest.FixtureRequest,
    benchmark: BenchmarkFixture,
    recipe: TrainConfig,
    about: dict[str, Any],
) -> Callable[[dict[str, Any]], None]:
    """Adds values to the benchmark and to the summary at the end, and with --record to bench/results."""

    def add(values: dict[str, Any]) -> None:
        values = {"recipe": recipe.recipe, **values}
        name = values.pop("name", request.node.name)
        benchmark.extra_info.update(values)
        request.config.stash[LINES].append(
            f"{name}: " + ", ".join(f"{key} {value}" for key, value in values.items())
        )
        if request.config.getoption("--record"):
            append_row(name, values, about)

    return add
