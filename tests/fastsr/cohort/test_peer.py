"""What settings of the machine change in a peer, beside its speed and memory: nothing."""

from dataclasses import replace

import torch
from torch import Tensor

from fastsr.config.settings import TrainConfig
from tests.fastsr.cohort.cohorts import cohort_of


def test_checkpointed_activations_are_not_kept(tiny_config: TrainConfig) -> None:
    kept: dict[bool, int] = {}
    for spared in (False, True):
        machine = replace(tiny_config.machine, checkpoint_activations=spared)
        generator = cohort_of(replace(tiny_config, machine=machine)).peers[0].generator
        held: list[int] = []

        def keep(x: Tensor, held: list[int] = held) -> Tensor:
            held.append(x.numel())
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            generator(torch.rand(2, 3, 16, 16))
        kept[spared] = sum(held)
    assert kept[True] < 0.8 * kept[False]


def test_both_trained_networks_are_compiled_and_the_average_is_not(
    tiny_config: TrainConfig,
) -> None:
    peer = cohort_of(tiny_config).peers[0]
    peer.compile()
    compiled = {
        name: any(module._compiled_call_impl is not None for module in network.modules())  # pyright: ignore[reportPrivateUsage]
        for name, network in peer.networks.items()
    }
    assert compiled == {"generator": True, "discriminator": True, "ema": False}


def test_gradients_of_an_unfinished_step_are_given_up(tiny_config: TrainConfig) -> None:
    peer = cohort_of(tiny_config).peers[0]
    peer.generator(torch.rand(2, 3, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in peer.generator.parameters())
    peer.forget_unfinished_step()
    assert all(parameter.grad is None for parameter in peer.generator.parameters())
