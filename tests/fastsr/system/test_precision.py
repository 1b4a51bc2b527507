"""The precision that a machine trains in."""

import pytest
import torch
from torch import Tensor, nn

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


def test_weights_cast_together_give_what_autocast_gives() -> None:
    """Bit for bit, results and fp32 gradients, of a network that runs twice as D does; its own weights stay fp32."""
    precision, results = Precision(dtype=torch.bfloat16), list[list[Tensor]]()
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.PReLU(4), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2)
    )
    x, y = torch.rand(2, 2, 3, 8, 8).unbind()
    for call in (network, precision.with_cast_weights(network)):
        network.zero_grad()
        with precision.autocast(CPU):
            a, b = call(x), call(y)
        (a.float().square().sum() + b.float().exp().sum()).backward()
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        assert {x.dtype for x in (*network.parameters(), *gradients)} == {torch.float32}
        results.append([a, b, *gradients])
    assert len(results[0]) == len(results[1]) == 2 + len(list(network.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_without_autocast_a_network_keeps_its_weights() -> None:
    network = nn.Linear(2, 2)
    assert Precision().with_cast_weights(network) is network
