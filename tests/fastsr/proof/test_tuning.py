"""Tuning of a recipe: what is varied, what is kept in the cache, and what a cohort is built with."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from rich.console import Console

from fastsr.cohort.content import FeatureContent, unloaded_content
from fastsr.config.settings import TrainConfig
from fastsr.models import SRResNet
from fastsr.proof import tuning
from fastsr.proof.choice import WITH_TEMPLATES, Way
from fastsr.proof.tuning import (
    applied,
    default_way,
    fastest_way,
    find_way,
    is_tuned,
    known_way,
    settle,
)
from fastsr.system.precision import Precision
from tests.fastsr.cohort.cohorts import cohort_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def with_machine(config: TrainConfig, **changes: Any) -> TrainConfig:
    return replace(config, machine=replace(config.machine, **changes))


@pytest.fixture
def compiled(tiny_config: TrainConfig) -> TrainConfig:
    content = replace(tiny_config.loss, content="random-vgg22")
    return with_machine(replace(tiny_config, loss=content), compile=True)


def test_only_compiled_steps_that_a_gpu_replays_are_tuned(compiled: TrainConfig) -> None:
    assert is_tuned(compiled, GPU) and not is_tuned(compiled, CPU)
    for off in ({"compile": False}, {"graph": "off"}, {"tune": False}):
        assert not is_tuned(with_machine(compiled, **off), GPU)


def test_what_the_user_has_set_stays(compiled: TrainConfig) -> None:
    _, rows = find_way(compiled, lambda way: 1.0)
    assert {row.way.peer_streams for row in rows} == {1, 2}
    assert {row.way.channels_last for row in rows} == {True, False}
    assert {row.way.tail_by_rows for row in rows} == {True, False}
    assert {row.way.templates for row in rows} == {(), ("generator",), ("content",)}
    given = with_machine(compiled, peer_streams=2, channels_last=False, autotune=True)
    _, rows = find_way(given, lambda way: 1.0)
    assert {(row.way.peer_streams, row.way.channels_last) for row in rows} == {(2, False)}
    assert all(
        row.way.templates == tuple(n for n in WITH_TEMPLATES if n in row.way.compiled)
        for row in rows
    )


def test_generators_without_a_tail_are_not_varied_by_it(compiled: TrainConfig) -> None:
    other = replace(compiled, model=replace(compiled.model, generator="msrresnet"))
    _, rows = find_way(other, lambda way: 1.0)
    assert not any(row.way.tail_by_rows for row in rows)


def test_norms_are_varied_where_they_are_not_compiled(compiled: TrainConfig) -> None:
    """A generator without compilation is faster here; then torch's norms are tried, and help no more."""

    def time(way: Way) -> float:
        return 5.0 if "generator" not in way.compiled else 9.0

    way, rows = find_way(compiled, time)
    assert way is not None and way.fused_norms
    assert [row.way.compiled for row in rows if not row.way.fused_norms] == [
        ("discriminator", "content")
    ]
    for other in (lambda way: 1.0, lambda way: 9.0 - len(way.compiled)):
        _, rows = find_way(compiled, other)
        assert all(row.way.fused_norms for row in rows)
    _, rows = find_way(with_machine(compiled, fused=False), time)
    assert not any(row.way.fused_norms for row in rows)


def test_a_content_loss_without_networks_is_not_varied(compiled: TrainConfig) -> None:
    pixels = replace(compiled, loss=replace(compiled.loss, content="pixel"))
    assert default_way(pixels).compiled == ("generator", "discriminator")
    assert default_way(with_machine(pixels, autotune=True)).templates == ("generator",)


def test_the_fastest_way_is_printed_once_and_kept(
    compiled: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timings are recorded ones: one stream is fastest."""
    times = {1: 7.0, 2: 9.0}
    monkeypatch.setattr(tuning, "Measured", lambda *_: lambda way: times[way.peer_streams])
    console = Console(record=True, width=120, quiet=False)
    way = fastest_way(compiled, CPU, Precision(), console.print)
    text = console.export_text()
    assert way.peer_streams == 1
    assert (
        "7.00  1 stream, channels_last, compiled: generator, discriminator, content  <- chosen"
        in text
    )
    assert fastest_way(compiled, CPU, Precision(), console.print) == way
    assert console.export_text() == ""
    assert known_way(compiled, CPU, Precision()) == way
    for other in (
        replace(compiled, images=replace(compiled.images, batch=3)),
        with_machine(compiled, fused=False),
    ):
        assert known_way(other, CPU, Precision()) is None
    assert known_way(compiled, CPU, Precision(dtype=torch.bfloat16)) is None


def test_where_nothing_works_training_goes_on_as_given(
    compiled: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(way: Way) -> float:
        raise RuntimeError("no")

    monkeypatch.setattr(tuning, "Measured", lambda *_: broken)
    assert fastest_way(compiled, CPU, Precision(), lambda _: None) == default_way(compiled)
    assert known_way(compiled, CPU, Precision()) is None


def test_a_cohort_is_built_as_chosen(tiny_config: TrainConfig) -> None:
    way = Way(peer_streams=1, channels_last=False, compiled=("discriminator",), tail_by_rows=True)
    cohort = cohort_of(applied(tiny_config, way))
    assert cohort.layout == torch.contiguous_format
    settle(cohort, way)
    assert not any(is_compiled(peer.generator) for peer in cohort.peers)
    assert all(peer.generator.output_conv.by_rows for peer in cohort.peers)
    settle(cohort, replace(way, compiled=("generator",), tail_by_rows=False))
    assert all(is_compiled(peer.generator) for peer in cohort.peers)
    assert not any(peer.generator.output_conv.by_rows for peer in cohort.peers)


def test_templates_are_an_option_of_the_networks_that_they_are_timed_for(
    compiled: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        torch.nn.Module, "compile",
        lambda module, options=None, **_: asked.append((type(module).__name__, bool(options))),
    )  # fmt: skip
    content = unloaded_content(compiled.loss)
    assert isinstance(content, FeatureContent)
    settle(cohort_of(compiled, content), replace(default_way(compiled), templates=("generator",)))
    assert set(asked) == {
        ("Sequential", False), ("ResidualBlock", True), ("Upsampler", True), ("NormActivation", False)
    }  # fmt: skip
    options = {"max_autotune": True}
    assert torch._TorchCompileInductorWrapper(None, options, False).config["max_autotune"]  # pyright: ignore


def is_compiled(generator: SRResNet) -> bool:
    return generator.blocks[0]._compiled_call_impl is not None


@pytest.mark.gpu
def test_a_gpu_is_tuned(compiled: TrainConfig) -> None:
    config = with_machine(compiled, device="cuda")
    way = fastest_way(config, torch.device("cuda:0"), Precision(), Console().print)
    assert known_way(config, torch.device("cuda:0"), Precision()) == way
