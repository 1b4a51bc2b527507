"""BN over slices of a batch is BN over the batch: outputs, each gradient, and running statistics."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fastsr.models.norm import BatchNorm, synchronise


def meeting(count: int) -> Callable[[int], Callable[[Tensor], Tensor]]:
    """Ways for so many threads to gather tensors of each other."""
    brought: list[Tensor] = [torch.empty(0)] * count
    together = threading.Barrier(count, timeout=30)

    def of(index: int) -> Callable[[Tensor], Tensor]:
        def gather(x: Tensor) -> Tensor:
            brought[index] = x
            together.wait()
            gathered = torch.stack(brought)
            together.wait()
            return gathered

        return gather

    return of


def results(norm: BatchNorm, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Outputs of a batch, and gradients of a loss on them."""
    x = x.clone().requires_grad_()
    y = norm(x)
    (y * weights).sum().backward()
    assert x.grad is not None
    assert norm.weight.grad is not None
    assert norm.bias.grad is not None
    return {"y": y.detach(), "x": x.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}


@pytest.mark.parametrize("offset", [0.0, 1000.0], ids=["centred", "far from zero"])
def test_slices_are_normalised_as_a_whole_batch(offset: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weights = (torch.randn(6, 3, 5, 4, generator=generator, dtype=torch.float64) for _ in "xw")
    x = x * 2 + offset + torch.arange(6, dtype=torch.float64)[:, None, None, None]
    whole = BatchNorm(3).double()
    expected = results(whole, x, weights)
    gather_of, found = meeting(3), {}
    slices = [BatchNorm(3).double() for _ in range(3)]

    def work(index: int) -> None:
        synchronise(slices[index], gather_of(index), 3)
        part = slice(2 * index, 2 * index + 2)
        found[index] = results(slices[index], x[part], weights[part])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("y", "x"):
        joined = torch.cat([found[k][name] for k in range(3)])
        torch.testing.assert_close(joined, expected[name], rtol=1e-7, atol=1e-7)
    for name in ("weight", "bias"):
        total = sum(found[k][name] for k in range(3))
        torch.testing.assert_close(total, expected[name], rtol=1e-7, atol=1e-7)
    for norm in slices:
        torch.testing.assert_close(norm.running_mean, whole.running_mean)
        torch.testing.assert_close(norm.running_var, whole.running_var)


def test_evaluation_gathers_nothing() -> None:
    norm = BatchNorm(3).eval()

    def fail(x: Tensor) -> Tensor:
        raise AssertionError

    synchronise(norm, fail, 2)
    assert norm(torch.ones(1, 3, 2, 2)).shape == (1, 3, 2, 2)
