"""The Triton kernel of the cohort loss, interpreted or on a GPU: poisoned memory, several programs, wide strides."""

from pathlib import Path

import pytest
import torch
from cohort_cases import Inputs, assert_close, assert_equal, by_autograd, drawn, mutual, poison
from devices import where_kernels_run
from fastsr_kernels.cohort_loss import CohortLoss
from torch import Tensor

pytest.importorskip("triton")
from fastsr_kernels.cohort_loss import kernel

pytestmark = where_kernels_run
FLOATS = [torch.float32, torch.bfloat16, torch.float16]


def launched(inputs: Inputs, width: int | None = None, one_outcome: bool = False) -> CohortLoss:
    """The loss that the kernel writes into poisoned memory. `width` logits of each peer at once, few for many
    programs.
    """
    launch, loss = kernel.plan(*inputs, one_outcome, width)
    poison(launch, loss)
    launch.run()
    partial: Tensor = launch.arguments["partial"]
    assert launch.programs == (1,) or bool(partial.isfinite().all()), "some program told nothing"
    return loss


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    ("peers", "logits", "width"),
    [
        (1, 1, None),
        (1, 7, None),
        (2, 63, None),
        (2, 63, 16),
        (3, 1000, 256),
        (5, 16, 16),
        (5, 37 * 41, 512),
        (8, 33, 16),
    ],
    ids=[
        "P1 E1",
        "P1 E7",
        "P2 E63",
        "P2 E63 by 16",
        "P3 E1000 by 256",
        "P5 E16",
        "P5 E37x41 by 512",
        "P8 E33 by 16",
    ],
)
def test_equals_float64_autograd(
    peers: int, logits: int, width: int | None, dtype: torch.dtype, device: str
) -> None:
    inputs = drawn(peers, logits, 3.0, seed=logits).of(dtype)
    assert_close(launched(inputs.to(device), width), by_autograd(inputs))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    ("peers", "logits", "width"),
    [(1, 7, None), (2, 63, None), (3, 63, 16), (5, 1000, 256)],
    ids=["P1 E7", "P2 E63", "P3 E63 by 16", "P5 E1000 by 256"],
)
def test_one_outcome_equals_float64_autograd(
    peers: int, logits: int, width: int | None, dtype: torch.dtype, device: str
) -> None:
    inputs = drawn(peers, logits, 3.0, seed=logits, fake_logits=logits + 2).of(dtype)
    assert_close(
        launched(inputs.to(device), width, one_outcome=True), by_autograd(inputs, one_outcome=True)
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_one_temperature_for_all(temperature: float, device: str) -> None:
    """The kernel then works a teacher out once for all its students."""
    inputs = drawn(3, 63, 3.0)._replace(temperature_P=torch.full((3,), temperature))
    assert_close(launched(inputs.to(device), 32), by_autograd(inputs))


@pytest.mark.parametrize(("real", "fake"), [(40, 7), (7, 40), (1, 33)], ids=lambda n: str(n))
def test_a_program_may_have_nothing_to_do_in_one_map(real: int, fake: int, device: str) -> None:
    inputs = drawn(3, real, 2.0, fake_logits=fake)
    assert_close(launched(inputs.to(device), 16), by_autograd(inputs))


def test_a_program_takes_several_tiles(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many logits that there are fewer programs than tiles."""
    monkeypatch.setattr(kernel, "MAX_PROGRAMS", 3)
    inputs = drawn(2, 7 * 16 + 5, 2.0)
    assert_close(launched(inputs.to(device), 16), by_autograd(inputs))


def test_more_programs_than_one_chunk_of_partial_sums(device: str) -> None:
    """The last program adds 1024 / 16 programs' sums of 16 peers at once: here are 66, in two chunks."""
    one_teacher = torch.zeros(9, 9)
    one_teacher[8, 0] = 1.0
    inputs = drawn(9, 16 * 66 - 3, 2.0, fake_logits=16 * 65)._replace(mixing_PP=one_teacher)
    assert_close(launched(inputs.to(device), 16), by_autograd(inputs))


def test_poisoned_padding_is_not_read(device: str) -> None:
    """NaN after the last logit of every peer, and after the last peer."""
    inputs = drawn(3, 21, 2.0)
    padded = torch.full((2, 4, 32), torch.nan)
    padded[:, :3, :21] = torch.stack([inputs.z_real_PE, inputs.z_fake_PE])
    real, fake = padded.to(device)[:, :3, :21]
    got = launched(inputs.to(device)._replace(z_real_PE=real, z_fake_PE=fake), 16)
    assert_close(got, by_autograd(inputs))


@pytest.mark.parametrize("size", [1e2, 1e4], ids=lambda s: f"logits x{s:.0e}")
def test_extreme_logits(size: float, device: str) -> None:
    sign = torch.tensor([-1.0, 0.0, 1.0])
    z_PE = size * torch.cartesian_prod(sign, sign, sign).T.contiguous()
    inputs = Inputs(z_PE, -z_PE.flip(1), mutual(3), torch.tensor([0.5, 1.0, 8.0]), torch.ones(3))
    for one_outcome in (False, True):
        got = launched(inputs.to(device), 16, one_outcome)
        assert all(bool(x.isfinite().all()) for x in got)
        assert_close(got, by_autograd(inputs, one_outcome))


@pytest.mark.parametrize("width", [None, 16], ids=["one program", "four programs"])
def test_runs_are_equal_bit_for_bit(width: int | None, device: str) -> None:
    inputs = drawn(3, 63, 2.0).to(device)
    assert_equal(launched(inputs, width), launched(inputs, width))


def test_peers_beyond_the_first_two_gib(device: str, tmp_path: Path) -> None:
    """Three peers 2^30 logits apart: the offset of the last one needs 64 bits, though every stride fits in 32."""
    stride, inputs = 2**30 + 16, drawn(3, 32, 2.0).of(torch.float16)
    if device == "cuda":
        memory = torch.empty(2 * stride + 32, dtype=torch.float16, device=device)
    else:
        (tmp_path / "sparse").touch()
        memory = torch.from_file(
            str(tmp_path / "sparse"), shared=True, size=2 * stride + 32, dtype=torch.float16
        )
    far_PE = memory.as_strided((3, 32), (stride, 1))
    far_PE.copy_(inputs.z_real_PE)
    assert_close(launched(inputs.to(device)._replace(z_real_PE=far_PE), 16), by_autograd(inputs))


def test_logits_far_apart(device: str, tmp_path: Path) -> None:
    """Logits 2^28 apart: the offset of the last one needs 64 bits."""
    stride, inputs = 2**28, drawn(2, 10, 2.0).of(torch.float16)
    if device == "cuda":
        memory = torch.empty(9 * stride + 2, dtype=torch.float16, device=device)
    else:
        (tmp_path / "sparse").touch()
        memory = torch.from_file(
            str(tmp_path / "sparse"), shared=True, size=9 * stride + 2, dtype=torch.float16
        )
    far_PE = memory.as_strided((2, 10), (1, stride))
    far_PE.copy_(inputs.z_fake_PE)
    assert_close(launched(inputs.to(device)._replace(z_fake_PE=far_PE), 16), by_autograd(inputs))
