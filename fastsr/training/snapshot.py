"""Contents of a checkpoint at one step: of the cohort itself, or copied to the host so that training can go on."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.peer import Peer
from fastsr.cohort.ring import MetricsRing
from fastsr.errors import UserError
from fastsr.models.base import Generator
from fastsr.system.memory import available_memory
from fastsr.training.notes import training_notes
from fastsr.training.state import FORMAT, lasting_settings

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class SavedPeer:
    """The tensors of a peer that are saved."""

    generator: Generator
    ema: Generator
    discriminator: nn.Module
    adam: dict[str, dict[str, Tensor]]
    """By network: the state of its optimiser, by parameter index and key."""
    notes: Mapping[str, str]
    """Notes on training for the generators' files."""

    @staticmethod
    def of(peer: Peer, notes: Mapping[str, str]) -> "SavedPeer":
        """Those of the peer itself."""
        adam = {name: optimizer_tensors(one) for name, one in peer.optimizers.items()}
        return SavedPeer(peer.generator, peer.ema, peer.discriminator, adam, notes)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator, "ema": self.ema}

    def tensors(self) -> list[Tensor]:
        networks = self.networks.values()
        states = (x for one in networks for x in (*one.parameters(), *one.buffers()))
        return [*states, *(x for state in self.adam.values() for x in state.values())]


@dataclass(frozen=True)
class Snapshot:
    """A whole cohort, as it is saved."""

    step: int
    peers: dict[int, SavedPeer]
    """By number; of those that several ranks train on slices of batches, the first rank's."""
    scalers: dict[int, dict[str, Any]]
    """The states of these peers' loss scalers, by network."""
    rows: Tensor
    """The metrics ring's."""
    state: dict[str, Any]
    """The contents of state.json, but for the scalers, and the checksums of the files."""
    teachers: Tensor | None = None
    """Logits `[lag, 2, P, E]` that were sent ahead for the next steps, on the host."""

    @staticmethod
    def of(
        cohort: Cohort, ring: MetricsRing, data: str, teachers: Tensor | None = None
    ) -> "Snapshot":
        """The tensors of the cohort itself: true until the next step. `data`: the fingerprint of its images."""
        step = int(cohort.schedule.step_count)
        own = dict(cohort.numbered()) if cohort.share.part == 0 else {}
        scalers = {
            k: {name: scaler.state_dict() for name, scaler in peer.scalers.items()}
            for k, peer in own.items()
        }
        state = {
            "format": FORMAT,
            "step": step,
            "data": data,
            "content_weight": float(cohort.content_weight),
            "settings": lasting_settings(cohort.config),
        }
        peers = {
            k: SavedPeer.of(peer, training_notes(cohort.config, k, step)) for k, peer in own.items()
        }
        return Snapshot(step, peers, scalers, ring.rows_RPT, state, teachers)

    def tensors(self) -> list[Tensor]:
        return [self.rows, *(x for peer in self.peers.values() for x in peer.tensors())]


class Twin:
    """A copy of a snapshot's tensors on the host, made once and filled time and again.

    Copies of a GPU's tensors are pinned, so that the GPU fills them while the host goes on.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        device = snapshot.rows.device
        size = sum(x.nbytes for x in snapshot.tensors())
        # torch takes pinned memory in powers of two.
        self.pinned = device.type == "cuda" and 2 * size < available_memory() // 4
        self.peers = {k: self.peer(one) for k, one in snapshot.peers.items()}
        self.rows = self.like(snapshot.rows)
        self.filled = torch.cuda.Event() if device.type == "cuda" else None

    def like(self, x: Tensor) -> Tensor:
        return torch.empty_like(x, device="cpu", pin_memory=self.pinned, requires_grad=False)

    def peer(self, peer: SavedPeer) -> SavedPeer:
        adam = {
            name: {key: self.like(x) for key, x in state.items()}
            for name, state in peer.adam.items()
        }
        generator, ema = self.network(peer.generator), self.network(peer.ema)
        return SavedPeer(generator, ema, self.network(peer.discriminator), adam, peer.notes)

    def network(self, network: Network) -> Network:
        """The same network on the host, its contents still arbitrary. Nothing is copied on the device meanwhile."""
        homes: dict[int, Any] = {id(x): self.like(x) for x in network.buffers()}
        for parameter in network.parameters():
            homes[id(parameter)] = nn.Parameter(self.like(parameter), requires_grad=False)
        return copy.deepcopy(network, homes)

    @torch.no_grad()
    def fill(self, snapshot: Snapshot) -> Snapshot:
        """Queues copies of a snapshot; `wait` tells when they are there."""
        peers = {k: replace(self.peers[k], notes=one.notes) for k, one in snapshot.peers.items()}
        copied = replace(snapshot, peers=peers, rows=self.rows)
        for home, value in zip(copied.tensors(), snapshot.tensors(), strict=True):
            home.copy_(value, non_blocking=True)
        if self.filled:
            self.filled.record()
        return copied

    def wait(self) -> None:
        if self.filled:
            self.filled.synchronize()


def optimizer_tensors(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Adam's state as tensors named by parameter index."""
    parameters: Iterable[Tensor] = optimizer.param_groups[0]["params"]
    return {
        f"{i}.{key}": value
        for i, p in enumerate(parameters)
        for key, value in optimizer.state.get(p, {}).items()
    }


def assert_finite(snapshot: Snapshot) -> None:
    """Raises UserError, naming the peer and the weight, rather than have a checkpoint of NaNs. A sync point."""
    for k, peer in snapshot.peers.items():
        for network, module in peer.networks.items():
            for name, value in module.state_dict().items():
                if not bool(value.isfinite().all()):
                    raise UserError(
                        f"weight {name} of the {network} of peer {k} is not finite at step {snapshot.step}"
                    )
