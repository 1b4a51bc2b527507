"""BN, activation and shortcut by one operator: the networks compute what they do by torch's own."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils._python_dispatch import TorchDispatchMode

from fastsr.models import SRResNet
from fastsr.models.discriminator import Discriminator, NormActivation
from fastsr.models.generator import ResidualBlock
from fastsr.models.norm import BatchNorm, fuse_norms, norm_activation, synchronise
from fastsr.models.unet import PatchDiscriminator

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual block": (lambda: ResidualBlock(6), (2, 6, 5, 7)),
    "BN - LeakyReLU": (lambda: NormActivation(6), (2, 6, 5, 7)),
    "SRResNet": (lambda: SRResNet(2, blocks=2, filters=6), (2, 3, 6, 5)),
    "discriminator": (lambda: Discriminator(32, filters=3), (2, 3, 32, 32)),
    "patch discriminator": (lambda: PatchDiscriminator(4), (2, 3, 32, 32)),
}
NORMS = dict(zip(NETWORKS, (2, 1, 5, 7, 3), strict=True))
networks = pytest.mark.parametrize("name", NETWORKS)


class Operators(TorchDispatchMode):
    """Names of the operators within."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.append(func._schema.name)
        return func(*args, **(kwargs or {}))


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def made(name: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """Two equal networks, the second fused, with other weights than BN and PReLU begin with; and images."""
    torch.manual_seed(0)
    build, shape = NETWORKS[name]
    plain = build().double().to(memory_format=torch.channels_last)  # pyright: ignore
    for module in plain.modules():
        if isinstance(module, BatchNorm | nn.PReLU):
            for parameter in module.parameters():
                nn.init.uniform_(parameter, 0.2, 1.5)
    fused = deepcopy(plain)
    fuse_norms(fused, True)
    return plain, fused, channels_last(torch.randn(shape, dtype=torch.float64))


def outcome(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The result, every gradient and every buffer."""
    x = x.clone().requires_grad_()
    y = network(x)
    y.sin().sum().backward()
    gradients = {f"gradient of {name}": p.grad for name, p in network.named_parameters()}
    return {"y": y.detach(), "gradient of x": x.grad, **gradients, **dict(network.named_buffers())}  # pyright: ignore


@networks
def test_networks_compute_the_same(name: str) -> None:
    plain, fused, x = made(name)
    with Operators() as operators:
        found = outcome(fused, x)
    assert operators.names.count("fastsr::batch_norm") == NORMS[name]
    assert "aten::native_batch_norm" not in operators.names
    for key, value in outcome(plain, x).items():
        torch.testing.assert_close(found[key], value, msg=lambda text, key=key: f"{key}: {text}")


@networks
def test_otherwise_torch_computes_bit_for_bit_what_it_did(name: str) -> None:
    """By running statistics, in another layout, and where ranks share a batch."""
    plain, fused, x = made(name)
    for network in (plain, fused):
        network.eval()
    assert torch.equal(fused(x), plain(x))
    for network in (plain, fused):
        network.train()
        network.to(memory_format=torch.contiguous_format)  # pyright: ignore
    with Operators() as operators:
        y = fused(x.contiguous())
    assert "fastsr::batch_norm" not in operators.names
    assert torch.equal(y, plain(x.contiguous()))
    synchronise(fused, lambda tensor: tensor[None], 1)
    with Operators() as operators:
        fused(x)
    assert "fastsr::batch_norm" not in operators.names


def test_a_shortcut_of_another_dtype_is_promoted_as_before() -> None:
    norm, x = BatchNorm(4), channels_last(torch.randn(2, 4, 3, 3)).bfloat16()
    norm.fused = True
    assert norm.fuses(x, x) and not norm.fuses(x, x.float())
    assert norm_activation(norm, x, shortcut_NCHW=x.float()).dtype == torch.float32


def test_activations_computed_again_move_no_statistics() -> None:
    _, fused, x = made("SRResNet")
    spared = deepcopy(fused)
    spared.recompute = True
    with Operators() as operators:
        found = outcome(spared, x)
    assert operators.names.count("fastsr::batch_norm") == 9  # those of two blocks again
    for key, value in outcome(fused, x).items():
        assert torch.equal(found[key], value), key


@networks
def test_autocast_keeps_activations_narrow_and_statistics_wide(name: str) -> None:
    _, fused, x = made(name)
    fused.float()
    with torch.autocast("cpu", dtype=torch.bfloat16), Operators() as operators:
        y = fused(channels_last(x.bfloat16() if NORMS[name] < 3 else x.float()))
    assert "fastsr::batch_norm" in operators.names
    assert y.dtype == (torch.bfloat16 if NORMS[name] < 3 else torch.float32)
    assert {b.dtype for b in fused.buffers()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("name", ["residual block", "BN - LeakyReLU"])
def test_compiled_blocks_hold_torchs_own_operators(name: str) -> None:
    """Inductor fuses those by itself: no graph breaks, and the operator is not called."""
    plain, fused, x = made(name)
    traced: list[str] = []

    def backend(graph: GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        traced.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    y = torch.compile(fused, backend=backend, fullgraph=True)(x)
    assert any("batch_norm" in name for name in traced)
    assert not any("fastsr" in name for name in traced)
    assert torch.equal(y, plain(x))


@pytest.mark.gpu
@pytest.mark.usefixtures("exact_gpu")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@networks
def test_networks_compute_the_same_on_a_gpu(name: str, dtype: torch.dtype) -> None:
    """Kernels may be twice as far from float64 as torch's own operators in this dtype are, and as a few roundings."""
    plain, fused, x = made(name)
    want = outcome(plain, x)
    near, found = (outcome_on_gpu(network, x, dtype) for network in (plain, fused))
    for key, value in want.items():
        size = value.abs().max().clamp(min=1e-6)
        apart, torchs = (((o[key] - value).abs().max() / size) for o in (found, near))
        assert apart <= 2 * torchs + 4 * torch.finfo(dtype).eps, key


def outcome_on_gpu(network: nn.Module, x: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """From the statistics of the start, in float64 on the host."""
    there = deepcopy(network).to("cuda", torch.float32)
    for module in there.modules():
        if isinstance(module, BatchNorm):
            module.reset_running_stats()
    with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
        found = outcome(there, x.to("cuda", torch.float32))
    return {key: value.double().cpu() for key, value in found.items()}
