"""Batch normalisation as an operator of torch: differentiable once, traced, and particular about what it is given."""

from typing import Any

import pytest
import torch
from devices import on_every_device
from fastsr_kernels.batch_norm import batch_norm
from fastsr_kernels.batch_norm.op import differentiate, normalise
from norm_cases import CASES, EPS, MOMENTUM, Case, assert_close, by_operator, channels_last, drawn
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode


def arguments(**changes: Any) -> dict[str, Any]:
    """Of a call that is accepted, but for the changes."""
    each = {
        name: torch.ones(4) for name in ("weight_C", "bias_C", "running_mean_C", "running_var_C")
    }
    x = channels_last(torch.randn(2, 4, 3, 3), torch.float32)
    return {"x_NCHW": x, **each, "momentum": MOMENTUM, "eps": EPS} | changes


@on_every_device
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_gradient(case: Case, device: str) -> None:
    inputs = drawn((2, 24, 3, 5), case)
    assert_close(by_operator(inputs, device), inputs)


@on_every_device
def test_mixed_precision(device: str) -> None:
    """bf16 images, fp32 parameters and statistics; the slope as autocast casts it, and its gradient."""
    inputs = drawn((2, 24, 3, 5), CASES["PReLU"], torch.bfloat16)
    assert inputs.slope is not None
    inputs = inputs._replace(slope=inputs.slope.bfloat16())
    got = by_operator(inputs, device)
    assert_close(got, inputs)
    dtypes = {name: x.dtype for name, x in got.items()}
    narrow = ("result", "gradient of x", "gradient of slope")
    assert {name for name, dtype in dtypes.items() if dtype == torch.bfloat16} == {*narrow}


@on_every_device
@pytest.mark.parametrize("case", ["alone", "shared PReLU, shortcut"])
def test_passes_torchs_own_checks(case: str, device: str) -> None:
    inputs = drawn((2, 6, 3, 3), CASES[case], torch.bfloat16)
    tensors = [None if t is None else t.to(device) for t in inputs[:8]]
    checks = ("test_schema", "test_faketensor")
    forward = (*tensors[:7], MOMENTUM, EPS, inputs.leak)
    torch.library.opcheck(normalise, forward, test_utils=checks)
    statistics = torch.rand(2, 6, device=device)
    backward = (tensors[7], *tensors[:4], statistics, inputs.leak)
    torch.library.opcheck(differentiate, backward, test_utils=checks)


def test_backward_works_without_contents() -> None:
    """As memory and kernels are counted."""
    with FakeTensorMode():
        x = torch.empty(2, 4, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
        each = [torch.ones(4) for _ in range(4)]
        y = batch_norm(x, *each, MOMENTUM, EPS, torch.ones(4, requires_grad=True), x.detach())
        (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.shape == x.shape and gradient.stride() == x.stride()


def test_a_gradient_in_another_layout_is_arranged() -> None:
    inputs = drawn((2, 6, 3, 5), CASES["shortcut"])
    assert_close(by_operator(inputs._replace(seed=inputs.seed.contiguous())), inputs)


def test_both_ways_back_from_one_forward_pass() -> None:
    """To the weights and then to the image, as D's losses go."""
    x = channels_last(torch.randn(2, 4, 3, 3), torch.float32).requires_grad_()
    weight = torch.ones(4, requires_grad=True)
    y = batch_norm(**arguments(x_NCHW=x, weight_C=weight, slope=0.2))
    (of_weight,) = torch.autograd.grad(y.square().sum(), weight, retain_graph=True)
    (of_x,) = torch.autograd.grad(y.square().sum(), x)
    assert of_weight.abs().sum() > 0 and of_x.abs().sum() > 0


def test_there_is_no_second_derivative() -> None:
    x = channels_last(torch.randn(2, 4, 3, 3), torch.float32).requires_grad_()
    (gradient,) = torch.autograd.grad(
        batch_norm(**arguments(x_NCHW=x)).square().sum(), x, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


IMAGES = channels_last(torch.zeros(2, 4, 3, 3), torch.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_NCHW": torch.zeros(4, 3, 3)}, "x_NCHW must be images"),
        ({"x_NCHW": IMAGES.int()}, r"x_NCHW must be images .*int32"),
        ({"x_NCHW": IMAGES[:0]}, "at least one"),
        ({"x_NCHW": IMAGES.contiguous()}, "x_NCHW must be channels-last in memory"),
        ({"shortcut_NCHW": IMAGES[:1]}, r"shortcut_NCHW must be like x_NCHW, .*\(2, 4, 3, 3\)"),
        ({"shortcut_NCHW": IMAGES.bfloat16()}, "shortcut_NCHW must be like x_NCHW"),
        ({"weight_C": torch.ones(5)}, r"weight_C must hold 4 floating .*\(5,\)"),
        ({"bias_C": torch.ones(8)[::2]}, "bias_C must hold 4 .*one after the other"),
        ({"running_var_C": torch.ones(4).int()}, "running_var_C must hold 4 floating"),
        ({"slope": torch.ones(3)}, "slope must hold 1 or 4 floating"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_named(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batch_norm(**arguments(**change))


@pytest.mark.gpu
def test_norms_tensors_on_the_wrong_device_are_named() -> None:
    there = {k: v.cuda() if isinstance(v, Tensor) else v for k, v in arguments().items()}
    with pytest.raises(ValueError, match="bias_C is on cpu and x_NCHW on cuda:0; move it there"):
        batch_norm(**there | {"bias_C": torch.ones(4)})
