"""The packs on this disk: how large, how old, and which nobody has used for long."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from fastsr.data.pack import INDEX, PIXELS, remove_pack

DAY = 24 * 3600
UNUSED_DAYS = 30


@dataclass(frozen=True)
class PackFacts:
    folder: Path
    bytes: int
    images: int
    source: str
    """Folder of the first image."""
    made: float
    """Seconds since the epoch, as `used`."""
    used: float

    @property
    def room(self) -> str:
        """On the disk."""
        if self.bytes < 1e9:
            return f"{self.bytes / 1e6:,.1f} MB"
        return f"{self.bytes / 1e9:,.2f} GB"


def find_packs(cache: Path) -> list[PackFacts]:
    """All packs below a cache, also damaged ones and those of other versions, the latest used first."""
    folders = [path.parent for path in (cache / "packs").glob(f"*/{INDEX}")]
    packs = [pack_facts(folder) for folder in folders if not folder.name.startswith(".")]
    return sorted(packs, key=lambda pack: pack.used, reverse=True)


def pack_facts(folder: Path) -> PackFacts:
    try:
        names = [str(name) for name in json.loads((folder / INDEX).read_text())["names"]]
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    files = [path.stat() for path in folder.iterdir()]
    pixels = folder / PIXELS
    used = (folder / INDEX).stat().st_mtime
    return PackFacts(
        folder=folder,
        bytes=sum(stat.st_size for stat in files),
        images=len(names),
        source=str(Path(names[0]).parent) if names else "damaged",
        made=pixels.stat().st_mtime if pixels.exists() else used,
        used=used,
    )


def prune_packs(cache: Path, now: float | None = None) -> list[PackFacts]:
    """Deletes packs that nobody has used for 30 days, and returns them. One in use is kept by who has mapped it."""
    oldest = (time.time() if now is None else now) - UNUSED_DAYS * DAY
    unused = [pack for pack in find_packs(cache) if pack.used < oldest]
    for pack in unused:
        remove_pack(pack.folder)
    return unused


def packs_table(packs: list[PackFacts], cache: Path) -> Table:
    table = Table(
        title=Text(f"packs in {cache / 'packs'}"), title_justify="left", box=None, padding=(0, 2)
    )
    for name in ("size", "images", "made", "used"):
        table.add_column(
            name, justify="right" if name in ("size", "images") else "left", no_wrap=True
        )
    table.add_column("folder of the images, and of the pack", overflow="fold")
    for pack in packs:
        table.add_row(
            pack.room,
            f"{pack.images:,}",
            ago(pack.made),
            ago(pack.used),
            Text(f"{pack.source}\n{pack.folder.name}"),
        )
    return table


def ago(when: float) -> str:
    days = int((time.time() - when) // DAY)
    return "today" if days < 1 else "yesterday" if days == 1 else f"{days} days ago"
