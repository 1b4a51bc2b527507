"""The precision that a machine trains in."""

import pytest
import torch

from fastsr.system.precision import Precision, choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ({"avx512_bf16"}, torch.bfloat16),
        ({"amx_bf16", "avx2"}, torch.bfloat16),
        ({"avx512f", "avx512_vnni"}, None),
        (set(), None),
    ],
    ids=["avx512_bf16", "amx", "avx512 alone", "nothing"],
)
def test_amp_on_a_cpu_is_bf16_only_where_it_is_fast(
    flags: set[str], dtype: torch.dtype | None
) -> None:
    precision = choose_precision(True, CPU, frozenset(flags))
    assert (precision.dtype, precision.scaled) == (dtype, False)
    assert precision.note.startswith("--amp: ")
    assert "\n" not in precision.note
    if dtype is None:
        assert "fp32" in precision.note
        assert "avx512_bf16" in precision.note


def test_without_amp_nothing_is_said() -> None:
    assert choose_precision(False, CPU) == Precision()
