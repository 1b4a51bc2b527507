"""The mesh of ranks: peers are dealt over its rows, slices of every batch over its columns. Without torch."""

from dataclasses import dataclass

from fastsr.config.peers import logits_per_image
from fastsr.config.settings import TrainConfig
from fastsr.console import counted, listed
from fastsr.errors import UserError

FEWEST_PATCHES = 2
"""Of a slice: BN has no variance over a single value."""


@dataclass(frozen=True)
class Mesh:
    """Rows by columns of ranks; rank r is in row r // columns."""

    rows: int
    columns: int

    @property
    def size(self) -> int:
        return self.rows * self.columns

    def row(self, rank: int) -> int:
        return rank // self.columns

    def column(self, rank: int) -> int:
        return rank % self.columns

    def peers(self, row: int, peers: int) -> tuple[int, ...]:
        """The peers of a row: as many as others have, or one fewer."""
        return tuple(range(row * peers // self.rows, (row + 1) * peers // self.rows))

    def describe(self, config: TrainConfig, backend: str) -> str:
        """A line for the user."""
        peers, batch = config.cohort.peers, config.images.batch
        rows = " | ".join(" ".join(map(str, self.peers(row, peers))) for row in range(self.rows))
        slices = (
            f"each batch in slices of {batch // self.columns}"
            if self.columns > 1
            else "whole batches"
        )
        noun = "peer" if peers == 1 else "peers"
        return f"{self.size} processes ({backend}), mesh {self.rows}x{self.columns}: {noun} {rows}; {slices}"


def choose_mesh(config: TrainConfig, size: int) -> Mesh:
    """The mesh of `--mesh`; auto: a row for each peer, or each rank where those are fewer, and columns of the rest.

    Raises UserError where ranks, peers and patches do not divide.
    """
    peers, batch, wanted = config.cohort.peers, config.images.batch, config.distributed.mesh
    if wanted == "auto":
        if size > peers and size % peers:
            raise UserError(
                f"{size} processes cannot be dealt over {counted(peers, 'peer')}; "
                f"start {possible_sizes(peers, batch)} of them, or give --mesh ROWSxCOLUMNS"
            )
        mesh = Mesh(size, 1) if size <= peers else Mesh(peers, size // peers)
    else:
        mesh = parsed(wanted)
    if mesh.size != size:
        raise UserError(
            f"--mesh {wanted} is for {mesh.size} processes, and {size} were started; start {mesh.size}, or give another"
        )
    if mesh.rows > peers:
        raise UserError(
            f"--mesh {wanted} has {mesh.rows} rows for {counted(peers, 'peer')}; use {peers} rows or fewer"
        )
    if batch % mesh.columns or batch // mesh.columns < FEWEST_PATCHES:
        raise UserError(
            f"--batch {batch} cannot be cut into {mesh.columns} slices of {FEWEST_PATCHES} patches or more; "
            f"use --batch {max(batch // mesh.columns, FEWEST_PATCHES) * mesh.columns}, "
            f"or start {possible_sizes(peers, batch)} processes"
        )
    if mesh.columns > 1 and len(set(logits_per_image(config))) > 1:
        raise UserError(
            "peers whose discriminators have maps of different sizes cannot share a batch; "
            f"use --mesh {min(size, peers)}x1 with {min(size, peers)} processes, or one --discriminator for all"
        )
    return mesh


def parsed(words: str) -> Mesh:
    """ROWSxCOLUMNS as a mesh. Raises UserError."""
    numbers = words.split("x")
    if len(numbers) != 2 or not all(n.isascii() and n.isdigit() and int(n) for n in numbers):
        raise UserError(f"--mesh {words} cannot be used; write ROWSxCOLUMNS, such as 2x4, or auto")
    return Mesh(*map(int, numbers))


def possible_sizes(peers: int, batch: int) -> str:
    """Numbers of ranks that auto has a mesh for."""
    slices = [k for k in range(2, batch // FEWEST_PATCHES + 1) if batch % k == 0][:3]
    few = [f"1 to {peers}"] if peers > 3 else [str(k) for k in range(1, peers + 1)]
    return listed([*few, *(str(peers * k) for k in slices)]).replace(" and ", " or ")
