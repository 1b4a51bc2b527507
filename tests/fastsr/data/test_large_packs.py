"""Packs that are larger than memory: sparse files, which take no room on the disk."""

import json
from pathlib import Path

import pytest
import torch

from fastsr.data import pack
from fastsr.data.pack import FORMAT, INDEX, PIXELS, open_pack, todays_share
from fastsr.data.sampler import PatchSampler
from fastsr.system.memory import available_memory, resident_memory

SIDE = 30_000


def write_sparse_pack(folder: Path, count: int) -> Path:
    folder.mkdir()
    with (folder / PIXELS).open("wb") as file:
        file.truncate(3 * SIDE**2 * count)
    names = [f"{k}.png" for k in range(count)]
    index = {"sizes": [[SIDE, SIDE]] * count, "names": names, "crc32": [0] * count}
    content = {"format": FORMAT, "digest": "", "unreadable": [], **index}
    (folder / INDEX).write_text(json.dumps(content))
    return folder


def test_more_than_fits_into_memory_is_mapped_and_drawn_from(tmp_path: Path) -> None:
    """Twice the memory of this machine, of which only the pages that patches lie on are read."""
    count = 2 * available_memory() // (3 * SIDE**2) + 1
    store, _ = open_pack(write_sparse_pack(tmp_path / "pack", count))
    assert store.nbytes > 2 * available_memory() * 0.9
    before = resident_memory()
    lr, hr = PatchSampler(store, scale=2, patch=32, batch=4, seed=0).draw(torch.tensor(1))
    assert not lr.any()
    assert not hr.any()
    assert resident_memory() - before < 500e6


def test_a_large_pack_is_checked_in_parts_that_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = open_pack(write_sparse_pack(tmp_path / "pack", 7))
    seen: list[int] = []
    for day in range(3):
        monkeypatch.setattr(pack.time, "time", lambda day=day: (100 + day) * 24 * 3600.0)
        part = todays_share(store, most=3 * 3 * SIDE**2)
        assert 2 <= len(part) <= 3
        seen += part
    assert sorted(seen) == list(range(7))
    assert todays_share(store, most=store.nbytes) == range(7)
