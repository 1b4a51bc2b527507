"""The definition of batch normalisation: torch's own, forward and backward, and its own rules for a single row."""

import pytest
import torch
from devices import INTERPRETED
from fastsr_kernels.batch_norm import batch_norm, reference
from hypothesis import given, settings
from hypothesis import strategies as st
from norm_cases import CASES, EPS, MOMENTUM, Case, assert_close, by_operator, channels_last, drawn

pytestmark = pytest.mark.skipif(INTERPRETED, reason="the kernel is what runs here")
shapes = st.tuples(*(st.integers(1, most) for most in (3, 40, 6, 6)))


@settings(max_examples=30, deadline=None)
@given(
    shapes, st.sampled_from(list(CASES.values())), st.sampled_from([torch.float64, torch.float32])
)
def test_is_torchs_own(shape: tuple[int, int, int, int], case: Case, dtype: torch.dtype) -> None:
    inputs = drawn(shape, case, dtype)
    assert_close(by_operator(inputs), inputs)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_narrow_dtypes_are_rounded_once(case: Case, dtype: torch.dtype) -> None:
    inputs = drawn((2, 24, 7, 5), case, dtype)
    got = by_operator(inputs)
    assert_close(got, inputs, ulps=0.51)
    assert {got[name].dtype for name in ("result", "gradient of x")} == {dtype}
    assert got["gradient of weight"].dtype == torch.float32


def test_one_row_is_its_own_mean() -> None:
    """torch refuses it. The result is the bias, no gradient comes back to x, and the variance is 0."""
    inputs = drawn((1, 5, 1, 1), CASES["alone"])
    got = by_operator(inputs)
    torch.testing.assert_close(got["result"].flatten(), inputs.bias)
    assert not got["gradient of x"].any()
    torch.testing.assert_close(got["running variance"], inputs.variance * (1 - MOMENTUM))


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_statistics_stay_or_are_the_last_batchs(momentum: float) -> None:
    x = channels_last(torch.randn(2, 6, 4, 4), torch.float32)
    mean, variance, ones = torch.randn(6), torch.rand(6), torch.ones(6)
    kept = [mean.clone(), variance.clone()]
    batch_norm(x, ones, ones, mean, variance, momentum, EPS)
    if momentum:
        kept = [x.mean((0, 2, 3)), x.var((0, 2, 3))]
    torch.testing.assert_close([mean, variance], kept)


def test_the_gradient_of_a_slope_is_empty_where_none_is_learnt() -> None:
    x = torch.randn(2, 3, 4, 4)
    found = reference.backward(x, x, torch.ones(3), torch.ones(3), None, torch.ones(2, 3), 0.2)
    assert found.slope_S.shape == (0,)
