"""Packs as they lie on the disk: listed, and deleted when nobody has used them for long."""

import os
import time
from pathlib import Path

from fastsr.data.packs import DAY, find_packs, prune_packs
from tests.fastsr.data.packing import Packer, assert_holds


def age(folder: Path, days: float) -> None:
    then = time.time() - days * DAY
    for file in folder.iterdir():
        os.utime(file, (then, then))


def test_packs_are_listed_with_what_they_hold(pack: Packer, paths: list[Path]) -> None:
    pack(paths[:2])
    (older,) = pack.packs
    age(older, 3)
    pack(paths)
    young, old = find_packs(pack.cache)
    assert (old.folder, young.folder in pack.packs) == (older, True)
    assert (old.images, young.images, old.source) == (2, 4, str(paths[0].parent))
    assert young.bytes == sum(file.stat().st_size for file in young.folder.iterdir())
    assert round((young.used - old.used) / DAY, 2) == round((young.made - old.made) / DAY, 2) == 3


def test_only_packs_that_nobody_used_for_a_month_are_deleted(
    pack: Packer, paths: list[Path]
) -> None:
    ages = {1: 29.9, 2: 30.1, 3: 400}
    for count, days in ages.items():
        before = set(pack.packs)
        pack(paths[:count])
        (fresh,) = set(pack.packs) - before
        age(fresh, days)
    store = pack(paths[:3])  # it is old, and used now
    assert [facts.images for facts in prune_packs(pack.cache)] == [2]
    assert sorted(facts.images for facts in find_packs(pack.cache)) == [1, 3]
    assert pack.leftovers == []
    assert_holds(store, paths[:3])


def test_a_damaged_pack_is_listed_and_deleted_too(pack: Packer, paths: list[Path]) -> None:
    pack(paths)
    (folder,) = pack.packs
    (folder / "index.json").write_text("{")
    age(folder, 31)
    assert [facts.source for facts in find_packs(pack.cache)] == ["damaged"]
    prune_packs(pack.cache)
    assert pack.packs == []


def test_no_packs_at_all(tmp_path: Path) -> None:
    assert find_packs(tmp_path / "gone") == prune_packs(tmp_path / "gone") == []
