"""Peers and patches dealt over ranks."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fastsr.config.networks import PeerConfig
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.distributed.agreement import statement
from fastsr.distributed.mesh import Mesh, choose_mesh
from fastsr.errors import UserError


def settings(peers: int, batch: int = 16, mesh: str = "auto") -> TrainConfig:
    config = TrainConfig()
    return replace(
        config,
        images=replace(config.images, batch=batch),
        cohort=replace(config.cohort, peers=peers),
        distributed=replace(config.distributed, mesh=mesh),
    )


@pytest.mark.parametrize(
    ("peers", "size", "mesh"),
    [(2, 1, (1, 1)), (2, 2, (2, 1)), (2, 4, (2, 2)), (2, 16, (2, 8)), (6, 4, (4, 1)), (1, 4, (1, 4))],
)  # fmt: skip
def test_the_mesh_follows_from_the_number_of_ranks(
    peers: int, size: int, mesh: tuple[int, int]
) -> None:
    assert choose_mesh(settings(peers), size) == Mesh(*mesh)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7])
def test_every_peer_is_dealt_once_and_rows_are_even(rows: int) -> None:
    dealt = [Mesh(rows, 1).peers(row, 7) for row in range(rows)]
    assert [peer for row in dealt for peer in row] == list(range(7))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


@pytest.mark.parametrize(
    ("peers", "batch", "size", "mesh", "message"),
    [
        (2, 16, 3, "auto", "3 processes cannot be dealt over 2 peers; start 1, 2, 4, 8 or 16"),
        (2, 6, 8, "auto", "--batch 6 cannot be cut into 4 slices of 2 patches or more; use --batch 8"),
        (2, 16, 4, "2x3", "--mesh 2x3 is for 6 processes, and 4 were started"),
        (2, 16, 4, "4x1", "--mesh 4x1 has 4 rows for 2 peers; use 2 rows or fewer"),
        (2, 16, 3, "1x3", "--batch 16 cannot be cut into 3 slices"),
        (2, 16, 2, "two", "--mesh two cannot be used; write ROWSxCOLUMNS"),
        (2, 16, 2, "0x2", "--mesh 0x2 cannot be used"),
    ],
)  # fmt: skip
def test_what_does_not_divide_is_refused(
    peers: int, batch: int, size: int, mesh: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        choose_mesh(settings(peers, batch, mesh), size)
    assert message in str(caught.value)


def test_maps_of_different_sizes_are_not_cut_into_slices() -> None:
    config = settings(2)
    peers = (PeerConfig(), PeerConfig(discriminator="unet"))
    cohort = replace(config.cohort, peer=peers, exchange="mean")
    config = replace(config, cohort=cohort)
    assert choose_mesh(config, 2) == Mesh(2, 1)
    with pytest.raises(
        UserError, match="maps of different sizes cannot share a batch; use --mesh 2x1"
    ):
        choose_mesh(config, 4)


def test_the_mesh_is_described() -> None:
    line = choose_mesh(settings(6), 4).describe(settings(6), "gloo")
    assert line == "4 processes (gloo), mesh 4x1: peers 0 | 1 2 | 3 | 4 5; whole batches"
    line = choose_mesh(settings(2), 4).describe(settings(2), "NCCL")
    assert line == "4 processes (NCCL), mesh 2x2: peers 0 | 1; each batch in slices of 8"


@pytest.mark.parametrize("parts", [2, 3])
def test_slices_are_the_whole_batch(store: PixelStore, parts: int) -> None:
    def sampler(part: int, parts: int) -> PatchSampler:
        return PatchSampler(store, scale=2, patch=16, batch=6, seed=5, part=part, parts=parts)

    step = torch.tensor(7)
    slices = [sampler(part, parts) for part in range(parts)]
    for drawn in ("draw", "draw_bytes"):
        whole = getattr(sampler(0, 1), drawn)(step)
        cut = zip(*(getattr(each, drawn)(step) for each in slices), strict=True)
        for x, of_slices in zip(whole, cut, strict=True):
            assert torch.equal(torch.cat(of_slices), x)
    aside = sampler(0, 1).draw_aside(2**40)[1]
    assert torch.equal(slices[1].draw_aside(2**40)[1], aside), "aside, all see whole batches"


def test_ranks_may_have_their_images_in_other_places() -> None:
    """Low resolutions as well as high ones: checksums tell whether they are the same."""

    def told(place: str) -> dict[str, str]:
        folders = {name: (Path(place),) for name in ("data", "lr_data", "val", "val_lr_data")}
        config = settings(2)
        return statement(
            replace(config, images=replace(config.images, **folders)), torch.device("cpu"), None
        )

    assert told("/here") == told("/there")
    assert told("/here") != statement(settings(2, batch=8), torch.device("cpu"), None)
