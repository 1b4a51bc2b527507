"""What a checkpoint holds of each peer: networks with their buffers, the EMA, the optimisers' states."""

from pathlib import Path

import torch
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.peer import Peer
from fastsr.errors import UserError
from fastsr.models.weights import load_module, load_tensors, save_generator, save_tensors


def save_peer(peer: Peer, folder: Path, k: int) -> None:
    save_generator(peer.generator, folder / f"peer-{k}-generator.safetensors")
    save_generator(peer.ema, folder / f"peer-{k}-ema.safetensors")
    save_tensors(peer.discriminator.state_dict(), folder / f"peer-{k}-discriminator.safetensors")
    for name, optimizer in peer.optimizers.items():
        save_tensors(optimizer_tensors(optimizer), folder / f"peer-{k}-{name}-adam.safetensors")


def load_peer(peer: Peer, folder: Path, k: int) -> None:
    for name, network in peer.networks.items():
        load_module(network, folder / f"peer-{k}-{name}.safetensors")
    for name, optimizer in peer.optimizers.items():
        load_optimizer(optimizer, folder / f"peer-{k}-{name}-adam.safetensors")


def optimizer_tensors(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Adam's state as tensors named by parameter index."""
    parameters = optimizer.param_groups[0]["params"]
    return {f"{i}.{key}": value for i, p in enumerate(parameters) for key, value in optimizer.state.get(p, {}).items()}


def load_optimizer(optimizer: torch.optim.Adam, file: Path) -> None:
    """Puts Adam's state back in place. Raises UserError where it does not fit.

    `Optimizer.load_state_dict` would replace these tensors, which a captured step goes on using, and the learning rate
    that all optimisers share.
    """
    homes, values = optimizer_tensors(optimizer), load_tensors(file)
    if {name: home.shape for name, home in homes.items()} != {name: value.shape for name, value in values.items()}:
        raise UserError(f"{file} does not fit the network")
    for name, home in homes.items():
        home.copy_(values[name])


def assert_finite(cohort: Cohort) -> None:
    """Raises UserError, naming the peer and the weight, rather than have a checkpoint of NaNs. A sync point."""
    for k, peer in enumerate(cohort.peers):
        for network, module in peer.networks.items():
            for name, value in module.state_dict().items():
                if not bool(value.isfinite().all()):
                    step = int(cohort.schedule.step_count)
                    raise UserError(f"weight {name} of the {network} of peer {k} is not finite at step {step}")
