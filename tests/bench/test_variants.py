"""bench.variants: every variant is the same step, and is printed."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bench import variants
from bench.setups import small_recipe
from bench.variants import AS_IT_IS, Variant, Varied
from fastsr.models.norm import BatchNorm
from tests.fastsr.cohort.cohorts import CPU

SAME = [one for one in variants.variants() if one.name not in (AS_IT_IS, "compiled")]


def weights_after(variant: Variant, steps: int = 2) -> list[Tensor]:
    rung = replace(variant.rung, half=False, graph=False, fused_loss=False)
    with variant.change(), Varied(replace(variant, rung=rung), small_recipe(), CPU) as contestant:
        for _ in range(steps):
            contestant()
        peer = contestant.body.cohort.peers[0]  # pyright: ignore[reportAttributeAccessIssue]
        return [x.detach().clone() for x in peer.generator.parameters()]


@pytest.fixture(scope="module")
def expected() -> list[Tensor]:
    return weights_after(variants.variants()[0])


@pytest.mark.parametrize("variant", SAME, ids=lambda one: one.name)
def test_every_variant_is_the_same_step(variant: Variant, expected: list[Tensor]) -> None:
    """But for rounding, which Adam's first steps enlarge where a gradient is next to nothing."""
    for got, want in zip(weights_after(variant), expected, strict=True):
        apart = (got - want).abs()
        assert float(apart.mean()) < 1e-6 and float(apart.max()) < 4e-4


def test_the_changes_change_something() -> None:
    """The tail is told to compute by rows; torch's pixel shuffle takes the place of ours."""
    by_name = {one.name: one for one in variants.variants()}
    variant = by_name["last convolution by rows"]
    rung = replace(variant.rung, graph=False, fused_loss=False)
    with Varied(replace(variant, rung=rung), small_recipe(), CPU) as contestant:
        peers = contestant.body.cohort.peers  # pyright: ignore[reportAttributeAccessIssue]
        assert all(peer.generator.output_conv.by_rows for peer in peers)
        peers[0].fuse_norms(True)
        norms = [m for m in peers[0].generator.modules() if isinstance(m, BatchNorm)]
        assert norms and all(norm.fused for norm in norms)
        by_name["batch norm by torch"].prepare(contestant.body.cohort)  # pyright: ignore[reportAttributeAccessIssue]
        assert not any(norm.fused for norm in norms)
    ours = variants.shuffle.shuffled_last
    with by_name["pixel shuffle by torch"].change():
        assert variants.shuffle.shuffled_last is torch.nn.functional.pixel_shuffle
    assert variants.shuffle.shuffled_last is ours


def test_batch_norm_takes_more_chunks() -> None:
    """Of D's first maps; with sources that Triton is there for."""
    kernel = pytest.importorskip("fastsr_kernels.batch_norm.kernel")
    x = torch.empty(16, 64, 96, 96).to(memory_format=torch.channels_last)
    usual = kernel.tiling(x).chunks
    with variants.more_chunks():
        assert kernel.tiling(x).chunks == 2 * usual
    assert kernel.tiling(x).chunks == usual


def test_the_step_as_it_is_comes_first_and_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "SECONDS", 0.01)
    monkeypatch.setattr(variants, "choose_device", lambda _: CPU)
    variants.main(["--only", AS_IT_IS, "peers one after the other"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(")  ")[2] for line in lines] == [
        AS_IT_IS,
        "peers one after the other",
        AS_IT_IS,
    ]
    assert all(float(line.split()[0]) > 0 for line in lines)
