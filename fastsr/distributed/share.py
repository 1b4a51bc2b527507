"""The share of a rank: its peers on its slice of the batch, and the collectives that tie it to the others.

Axes: P peers of the cohort and p of this rank, R rows and D columns of the mesh, N images of a batch, E logits of one
peer on a batch and e on a slice.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from fastsr.distributed.mesh import Mesh
from fastsr.distributed.world import Ranks

# torch 2.14 gave it a new name
all_gather_single: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # pyright: ignore[reportDeprecated]


class RankShare:
    """The peers of a mesh's row on the slice of its column.

    One all-gather a step brings every rank the logits of all peers, from which each computes all losses: these are the
    same numbers on every rank. Where batches are cut, gradients are averaged over the row by one all-reduce of each
    network. This is not DistributedDataParallel, whose hooks expect one backward pass through whole networks: here D's
    graph is walked twice, G's begins at an image, and a captured step needs buffers that stay where they are.

    On GPUs these are calls of NCCL on the step's own streams: warm-up connects the GPUs, then they are captured with
    the rest of the step, and a replay of one rank waits for those of the others. Gloo's work for the host, saving and
    agreeing to stop, stays outside; that question, once a step, is what finds a rank that is lost.

    Args:
        peers: of the whole cohort.
    """

    def __init__(self, world: Ranks, mesh: Mesh, peers: int, device: torch.device) -> None:
        self.mesh, self.device, self.count = mesh, device, peers
        self.row, self.part, self.parts = (
            mesh.row(world.rank),
            mesh.column(world.rank),
            mesh.columns,
        )
        self.peers = mesh.peers(self.row, peers)
        self.most = -(-peers // mesh.rows)
        """Peers of the fullest row; others fill up with zeros."""
        self.everyone, self.devices = connect(world, mesh, device)
        self.index_p = torch.tensor(self.peers, device=device)
        places = [
            row * self.most + k
            for row in range(mesh.rows)
            for k in range(len(mesh.peers(row, peers)))
        ]
        self.places_P = torch.tensor(places, device=device) if peers % mesh.rows else None
        """Places of the peers among those of all rows, where rows are not all full."""
        self.flat: dict[nn.Module, FlatGradients] = {}
        self.waited = 0.0
        """Seconds that this rank has spent in collectives of steps, as far as the host knows."""

    @property
    def leads(self) -> bool:
        """True for one rank of a row: the one that saves and validates its peers."""
        return self.part == 0

    @contextmanager
    def waiting(self) -> Generator[None, None, None]:
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    def gather_logits(self, z_2pe: Tensor) -> Tensor:
        return self.in_order(self.all_gather(self.filled(z_2pe, 1), self.everyone))

    def in_order(self, gathered_R2pe: Tensor) -> Tensor:
        """Logits `[2, P, E]`, from those that each rank has sent."""
        gathered_RD2pe = gathered_R2pe.unflatten(0, (self.mesh.rows, -1))
        z_2PE = gathered_RD2pe.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
        return z_2PE if self.places_P is None else z_2PE.index_select(1, self.places_P)

    def gather_peers(self, x_pX: Tensor) -> Tensor:
        gathered = self.all_gather(self.filled(x_pX, 0).contiguous(), self.everyone)
        x_PX = gathered.unflatten(0, (self.mesh.rows, -1)).mean(1).flatten(0, 1)
        return x_PX if self.places_P is None else x_PX.index_select(0, self.places_P)

    def filled(self, x: Tensor, axis: int) -> Tensor:
        """With zeros for as many more peers as the fullest row has."""
        missing = self.most - len(self.peers)
        if not missing:
            return x
        shape = list(x.shape)
        shape[axis] = missing
        return torch.cat([x, x.new_zeros(shape)], axis)

    def all_gather(self, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        """The tensors of all ranks of a group, stacked before them."""
        count = dist.get_world_size(group)
        gathered = x.new_empty((count * x.shape[0], *x.shape[1:]))
        with self.waiting():
            all_gather_single(gathered, x, group=group)
        return gathered.unflatten(0, (count, -1))

    def gather_slices(self, x: Tensor) -> Tensor:
        """The tensors of all slices of these peers, stacked before them."""
        return self.all_gather(x.contiguous(), self.devices.get_group("data"))

    def mine(self, x_PE: Tensor) -> Tensor:
        x_pE = x_PE.index_select(0, self.index_p)
        if self.parts == 1:
            return x_pE
        each = x_PE.shape[1] // self.parts
        return x_pE[:, self.part * each : (self.part + 1) * each] * self.parts

    def spread(self, x_p: Tensor) -> Tensor:
        return x_p.new_zeros(self.count).index_copy(0, self.index_p, x_p)

    def cut(self, x_NX: Tensor) -> Tensor:
        return x_NX.chunk(self.parts)[self.part]

    def average_gradients(self, network: nn.Module) -> None:
        if self.parts == 1:
            return
        if network not in self.flat:
            self.flat[network] = FlatGradients(network)
        flat = self.flat[network]
        flat.collect()
        with self.waiting():
            dist.all_reduce(flat.buffer, group=self.devices.get_group("data"))
        flat.buffer /= self.parts

    def abort(self) -> None:
        """Ends what a GPU waits for from others, who are lost. Torch's watchdog sees no calls of a replayed step."""
        if self.device.type == "cuda":
            for group in (self.everyone, *self.devices.get_all_groups()):
                group.abort()


class FlatGradients:
    """The gradients of a network in one buffer, which stays where it is."""

    def __init__(self, network: nn.Module) -> None:
        self.parameters = list(network.parameters())
        sizes = [parameter.numel() for parameter in self.parameters]
        self.buffer = self.parameters[0].new_empty(sum(sizes))
        self.views = [
            part.as_strided(parameter.shape, parameter.stride())
            for part, parameter in zip(self.buffer.split(sizes), self.parameters, strict=True)
        ]

    @torch.no_grad()
    def collect(self) -> None:
        """Copies the gradients here, and makes these copies the gradients."""
        gradients = [parameter.grad for parameter in self.parameters]
        assert all(gradient is not None for gradient in gradients)
        torch._foreach_copy_(self.views, gradients)  # pyright: ignore
        for parameter, view in zip(self.parameters, self.views, strict=True):
            parameter.grad = view


def connect(world: Ranks, mesh: Mesh, device: torch.device) -> tuple[dist.ProcessGroup, DeviceMesh]:
    """A group of all ranks, and torch's mesh of the groups of rows and columns: gloo on CPUs, NCCL on GPUs."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    # Torch ends a process whose calls of NCCL take too long, with pages; gloo finds a silent rank sooner, in a line.
    timeout = world.timeout * (2 if backend == "nccl" else 1)

    def groups(all_ranks: list[list[int]]) -> dist.ProcessGroup:
        made, _ = dist.new_subgroups_by_enumeration(all_ranks, timeout=timeout, backend=backend)
        assert isinstance(made, dist.ProcessGroup)
        return made

    ranks_RD = torch.arange(mesh.size).view(mesh.rows, mesh.columns)
    of_columns, of_rows = groups(ranks_RD.T.tolist()), groups(ranks_RD.tolist())
    devices = DeviceMesh.from_group(
        [of_columns, of_rows], device.type, mesh=ranks_RD, mesh_dim_names=("peer", "data")
    )
    return groups([ranks_RD.flatten().tolist()]), devices
