"""Tests that need a GPU: bit-equality over many runs, captured graphs, pinned memory, and no waiting host.

Outputs and gradients on a GPU are compared by the other files here, wherever they take a `device`.
"""

from collections.abc import Callable

import pytest
import torch
from cohort_cases import Inputs, assert_close, assert_equal, by_autograd, drawn, in_slices
from devices import INTERPRETED
from fastsr_kernels.backend import backend
from fastsr_kernels.batch_norm import batch_norm
from fastsr_kernels.cohort_loss import cohort_loss
from fastsr_kernels.cohort_loss import reference as loss_reference
from fastsr_kernels.patch_sampler import Images, patch_sampler
from fastsr_kernels.patch_sampler import reference as patch_reference
from norm_cases import CASES, EPS, MOMENTUM, Shape, by_operator, channels_last
from norm_cases import assert_close as assert_norm
from norm_cases import drawn as drawn_norm
from patch_cases import FLOATS, assert_patches, at, crop, expected, moved, packed, pictures
from torch import Tensor

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(INTERPRETED, reason="kernels are interpreted")]
RUNS = 100
MAPS = pytest.mark.parametrize(
    ("peers", "logits"),
    [(3, 63), (4, 147456), (16, 600_000)],
    ids=["P3 E63", "P4 E147456", "P16 E600000"],
)


def captured(
    step: Callable[[], tuple[Tensor, ...]],
) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]:
    """The step as a CUDA graph, after the runs on another stream in which kernels are compiled, and what it fills."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = step()
    return graph, outputs


def test_kernels_are_what_runs() -> None:
    assert backend("cuda") == "triton"


@MAPS
def test_cohort_loss_of_large_maps(peers: int, logits: int) -> None:
    """Hundreds of programs at once: the last one to arrive must see what all others have found."""
    inputs = drawn(peers, logits, 2.0).to("cuda")
    assert_close(cohort_loss(*inputs), in_slices(inputs))


@MAPS
def test_cohort_loss_is_equal_over_many_runs(peers: int, logits: int) -> None:
    inputs = drawn(peers, logits, 2.0).of(torch.bfloat16).to("cuda")
    first = cohort_loss(*inputs)
    for _ in range(RUNS):
        assert_equal(cohort_loss(*inputs), first)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_patches_are_equal_over_many_runs(scale: int) -> None:
    images, what = moved(packed(pictures()), "cuda"), crop(scale, "mirror", batch=16)
    step = at(5, "cuda")
    first = patch_sampler(images, what, 7, step)
    for _ in range(RUNS):
        for a, b in zip(patch_sampler(images, what, 7, step), first, strict=True):
            assert torch.equal(a, b)


@MAPS
def test_cohort_loss_in_a_captured_graph(peers: int, logits: int) -> None:
    """Replays read new logits, weights and temperatures from the same memory, and count arrivals afresh."""
    static = Inputs(*(torch.empty_like(x) for x in drawn(peers, logits, 1.0).to("cuda")))
    for x in static:
        x.fill_(1.0)
    graph, outputs = captured(lambda: cohort_loss(*static))
    for seed in range(RUNS):
        fresh = drawn(peers, min(logits, 1000), 2.0, seed)
        repeats = -(-logits // fresh.z_real_PE.shape[1])
        fresh = fresh._replace(
            z_real_PE=fresh.z_real_PE.repeat(1, repeats)[:, :logits],
            z_fake_PE=fresh.z_fake_PE.repeat(1, repeats)[:, :logits],
        ).to("cuda")
        for old, new in zip(static, fresh, strict=True):
            old.copy_(new)
        for x in outputs:
            x.fill_(float("nan"))
        graph.replay()
        assert_equal(type(cohort_loss(*fresh))(*outputs), cohort_loss(*fresh))


BLOCKS: dict[str, Shape] = {
    "G": (16, 64, 24, 24),
    "D": (16, 64, 48, 48),
    "end of D": (16, 512, 6, 6),
}
blocks = pytest.mark.parametrize("shape", BLOCKS.values(), ids=BLOCKS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("block", "case"),
    [("G", "PReLU"), ("G", "shortcut"), ("D", "LeakyReLU"), ("end of D", "LeakyReLU")],
)
def test_batch_norm_of_the_papers_blocks(block: str, case: str, dtype: torch.dtype) -> None:
    """Every chunk, block and tile that a training has, against float64; the same over many runs, bit for bit."""
    inputs = drawn_norm(BLOCKS[block], CASES[case], dtype)
    first = by_operator(inputs, "cuda")
    assert_norm(first, inputs, ulps=0.51)
    for _ in range(RUNS // 10):
        for name, x in by_operator(inputs, "cuda").items():
            assert torch.equal(x, first[name]), name


@blocks
def test_batch_norm_in_a_captured_graph(shape: Shape) -> None:
    """Forward and backward; every replay reads new images and moves the running statistics once more."""
    x = channels_last(torch.zeros(shape), torch.bfloat16).cuda().requires_grad_()
    weight, bias, slope = (torch.rand(shape[1], device="cuda", requires_grad=True) for _ in "wbs")
    mean, variance = torch.zeros(shape[1], device="cuda"), torch.ones(shape[1], device="cuda")

    def step() -> tuple[Tensor, ...]:
        y = batch_norm(x, weight, bias, mean, variance, MOMENTUM, EPS, slope, x.detach())
        return y, *torch.autograd.grad(y, (x, weight, bias, slope), y)

    graph, outputs = captured(step)
    for seed in range(RUNS // 10):
        fresh = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            x.copy_(fresh)
        before = mean.clone(), variance.clone()
        for output in outputs:
            output.detach().fill_(float("nan"))
        graph.replay()
        replayed = [output.detach().clone() for output in (*outputs, mean, variance)]
        mean.copy_(before[0])
        variance.copy_(before[1])
        for ours, eager in zip(replayed, (*step(), mean, variance), strict=True):
            assert torch.equal(ours, eager)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_patches_in_a_captured_graph(scale: int) -> None:
    """The counter advances inside the graph: every replay draws the patches of the next step."""
    images, what, step = pictures(), crop(scale, "mirror", batch=4), at(0, "cuda")
    there = moved(packed(images), "cuda")

    def advance() -> tuple[Tensor, Tensor]:
        patches = patch_sampler(there, what, 7, step)
        step.add_(1)
        return patches

    graph, outputs = captured(advance)
    step.zero_()
    for number in range(RUNS):
        for x in outputs:
            x.fill_(float("nan"))
        graph.replay()
        assert_patches(outputs, expected(images, what, 7, number))
    assert int(step) == RUNS


def tables_on_gpu(images: Images) -> Images:
    """Pixels stay where they are."""
    tables = ("start_I", "height_I", "width_I", "cumulative_I")
    return images._replace(**{name: getattr(images, name).to("cuda") for name in tables})


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("scale", [2, 4])
def test_pixels_in_pinned_host_memory(scale: int, dtype: torch.dtype) -> None:
    """Only the tables are on the GPU, which reads the pixels where they are."""
    images, what = pictures(), crop(scale, batch=8)
    there = tables_on_gpu(packed(images))
    there = there._replace(pixels_B=there.pixels_B.pin_memory())
    got = patch_sampler(there, what, 7, at(3, "cuda"), dtype)
    assert got[0].device.type == "cuda"
    assert_patches(got, expected(images, what, 7, 3))


def test_pixels_in_pinned_host_memory_in_a_captured_graph() -> None:
    images, what, step = pictures(), crop(4, batch=4), at(0, "cuda")
    there = tables_on_gpu(packed(images))
    there = there._replace(pixels_B=there.pixels_B.pin_memory())
    graph, outputs = captured(lambda: patch_sampler(there, what, 7, step))
    for number in range(5):
        step.fill_(number)
        graph.replay()
        assert_patches(outputs, expected(images, what, 7, number))


def test_pixels_in_pageable_host_memory_are_refused() -> None:
    there = tables_on_gpu(packed(pictures()))
    with pytest.raises(
        ValueError, match="pixels_B must be on cuda:0 or in pinned host memory, not on cpu"
    ):
        patch_sampler(there, crop(2), 7, at(0, "cuda"))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_torch_draws_the_same_patches_on_a_gpu(scale: int, dtype: torch.dtype) -> None:
    """The reference, which runs on GPUs without triton: its arithmetic must not depend on the device."""
    images, what = pictures(), crop(scale, "mirror", batch=8)
    got = patch_reference.patch_sampler(
        moved(packed(images), "cuda"), what, 7, at(3, "cuda"), dtype
    )
    assert_patches(got, expected(images, what, 7, 3))


@pytest.mark.parametrize(("peers", "logits"), [(1, 1), (3, 63), (5, 1000)], ids=lambda n: str(n))
def test_torch_computes_the_same_loss_on_a_gpu(peers: int, logits: int) -> None:
    inputs = drawn(peers, logits, 2.0)
    assert_close(loss_reference.cohort_loss(*inputs.to("cuda")), by_autograd(inputs))


def test_the_host_never_waits() -> None:
    inputs, images = drawn(3, 1000, 2.0).to("cuda"), moved(packed(pictures()), "cuda")
    inputs.z_fake_PE.requires_grad_()
    step, what = at(0, "cuda"), crop(4)

    drawn_for_norm = drawn_norm((2, 24, 7, 9), CASES["shared PReLU, shortcut"])
    norm = type(drawn_for_norm)(*(x.cuda() for x in drawn_for_norm[:-1]), 1.0)

    def once() -> None:
        by_operator(norm, "cuda")
        patch_sampler(images, what, 7, step)
        cohort_loss(*inputs).discriminator_P.sum().backward()

    once()
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        once()
    finally:
        torch.cuda.set_sync_debug_mode(before)


def test_compiled_by_inductor() -> None:
    """Both operators between generated kernels, in one graph."""
    inputs, images = drawn(3, 63, 2.0).to("cuda"), moved(packed(pictures()), "cuda")
    inputs.z_real_PE.requires_grad_()

    def together(step: Tensor) -> Tensor:
        lr, hr = patch_sampler(images, crop(4), 7, step)
        loss = cohort_loss(*inputs._replace(z_real_PE=inputs.z_real_PE * 2))
        return lr.mean() + hr.mean() + loss.discriminator_P.sum()

    want = together(at(3, "cuda"))
    (want_gradient,) = torch.autograd.grad(want, inputs.z_real_PE)
    got = torch.compile(together, fullgraph=True)(at(3, "cuda"))
    (gradient,) = torch.autograd.grad(got, inputs.z_real_PE)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(gradient, want_gradient)
