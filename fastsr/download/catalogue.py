"""The data sets that `fastsr data fetch` knows: their archives, and what in these becomes which folder."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from fastsr.console import say
from fastsr.data.images import walk
from fastsr.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One file to download. `size` in bytes; what is None is not known, and not checked."""

    url: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    """Compared only where there is no `sha256`."""

    @property
    def file(self) -> str:
        """Its name on the disk: the last part of the address."""
        return self.url.rsplit("/", 1)[-1]

    def check(self, file: Path) -> str:
        """Compares a file with what is known of the archive. Returns what could not be compared, or nothing.

        Raises UserError where size or checksum differ, without a remedy: callers add theirs.
        """
        size = file.stat().st_size
        if self.size not in (None, size):
            raise UserError(f"{file} has {size:,} bytes instead of {self.size:,}")
        kind, expected = (
            ("md5", self.md5) if self.md5 and not self.sha256 else ("sha256", self.sha256)
        )
        with file.open("rb") as opened:
            actual = hashlib.file_digest(opened, kind).hexdigest()
        if expected and actual != expected.lower():
            raise UserError(f"{file} is damaged: its {kind} is {actual} instead of {expected}")
        return (
            ""
            if expected
            else f"{self.file}: no checksum is published to compare with; its sha256 is {actual}"
        )


@dataclass(frozen=True, kw_only=True)
class Split:
    """One folder of images, such as DIV2K's for training, and where it comes from."""

    archive: Archive
    members: str
    """Folder inside the archive."""
    folder: str
    """Folder of its images, below the folder of all data sets."""
    originals: str = "."
    """Below `folder`: where the high-resolution images are."""
    images: int
    """Number of those images."""

    def count(self, folder: Path) -> int:
        """Counts the high-resolution images of a folder laid out like this split."""
        return sum(1 for _ in walk(folder / self.originals))

    def is_present(self, root: Path) -> bool:
        """True if all of it is there. Raises UserError where the folder holds something else."""
        folder = root / self.folder
        if not folder.exists():
            return False
        found = self.count(folder)
        if found != self.images:
            where = folder / self.originals
            raise UserError(
                f"{where} holds {found} images instead of {self.images}; delete {folder} and run again"
            )
        return True


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set, of one split or several."""

    name: str
    """As on the command line."""
    title: str
    use: Literal["train", "test"]
    splits: tuple[Split, ...]
    terms: str
    """Terms of use by its authors, in one line."""

    @property
    def images(self) -> int:
        return sum(split.images for split in self.splits)

    @property
    def archives(self) -> tuple[Archive, ...]:
        return tuple(dict.fromkeys(split.archive for split in self.splits))

    def folders(self, root: Path) -> list[Path]:
        """Folders of its high-resolution images, fetched or not."""
        return [root / split.folder / split.originals for split in self.splits]


# Sizes and SHA-256 of DIV2K: tensorflow/datasets, tensorflow_datasets/url_checksums/div2k.txt.
DIV2K_TRAIN = Archive(
    url="https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_train_HR.zip",
    size=3_530_603_713,
    sha256="9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335",
)
DIV2K_VALID = Archive(
    url="https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_valid_HR.zip",
    size=448_993_893,
    sha256="20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
)
# Size and SHA-256: YeapJieShen/single-image-super-resolution, tests/reference/fetch_urban100.py.
# MD5: Coloquinte/torchSR, torchsr/datasets/benchmarks.py.
BENCHMARK = Archive(
    url="https://cv.snu.ac.kr/research/EDSR/benchmark.tar",
    size=250_112_000,
    sha256="80c21c333bbf6ceb5308b7243761f8284478274413a97b96f1d63e9045fd93e8",
    md5="4ace41d33c2384b97e6b320cd0afd6ba",
)


def benchmark(title: str, images: int, terms: str, members: str = "") -> Dataset:
    """A test set of EDSR's archive (Lim et al., CVPRW 2017): originals in HR, MATLAB's bicubic in LR_bicubic/X2..X4."""
    inside = f"benchmark/{members or title}"
    split = Split(archive=BENCHMARK, members=inside, folder=title, originals="HR", images=images)
    return Dataset(name=title.lower(), title=title, use="test", splits=(split,), terms=terms)


DIV2K = Dataset(
    name="div2k",
    title="DIV2K",
    use="train",
    splits=tuple(
        Split(archive=archive, members=name, folder=f"DIV2K/{name}", images=images)
        for archive, name, images in (
            (DIV2K_TRAIN, "DIV2K_train_HR", 800),
            (DIV2K_VALID, "DIV2K_valid_HR", 100),
        )
    ),
    terms="for academic research only; the photos belong to their owners",
)
NO_LICENCE = "no licence is stated; the photos belong to their owners"
DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        DIV2K,
        benchmark("Set5", 5, NO_LICENCE),
        benchmark("Set14", 14, NO_LICENCE),
        benchmark(
            "BSD100", 100, "of BSDS300, for non-commercial research and education", members="B100"
        ),
        benchmark("Urban100", 100, NO_LICENCE),
    )
}


def choose(names: Iterable[str], catalogue: Mapping[str, Dataset]) -> list[Dataset]:
    """Data sets by name, each once, whatever the case. Raises UserError for a name that is not known."""
    wanted = dict.fromkeys(name.lower() for name in names)
    if unknown := [name for name in wanted if name not in catalogue]:
        raise UserError(
            f"no data set is called {' '.join(unknown)}; there are {' '.join(catalogue)}"
        )
    return [catalogue[name] for name in wanted]


def print_listing(
    root: Path, console: Console, catalogue: Mapping[str, Dataset] = DATASETS
) -> None:
    """Prints every data set: its name, what it is for, images, size of the download, and where it is, if it is."""
    say(
        console, f"below {root}:"
    )  # on a line of its own: it may be longer than the terminal is wide
    table = Table("name", "for", box=None, padding=(0, 2, 0, 0))
    table.add_column("images", justify="right")
    table.add_column("download", no_wrap=True)
    table.add_column("", overflow="fold")
    owners = Counter(archive for dataset in catalogue.values() for archive in dataset.archives)
    shared = {archive for archive, count in owners.items() if count > 1}
    for dataset in catalogue.values():
        total = sum(archive.size or 0 for archive in dataset.archives)
        size = decimal(total) if total else "unknown"
        mark = "" if shared.isdisjoint(dataset.archives) else " *"
        count = f"{dataset.images:,}"
        table.add_row(
            dataset.name, dataset.use, count, f"{size:>8}{mark}", Text(presence(dataset, root))
        )
    console.print(table)
    if shared:
        say(console, "* one download that they share")


def presence(dataset: Dataset, root: Path) -> str:
    """One line on a data set: folders of its originals in `root`, their number if not all, or the command for them."""
    found = [split.count(root / split.folder) for split in dataset.splits]
    if not any(found):
        return f"not here; fastsr data fetch {dataset.name}"
    folders = [folder.relative_to(root) for folder in dataset.folders(root)]
    return "; ".join(
        str(folder) if count == split.images else f"{folder} holds {count} of {split.images} images"
        for folder, split, count in zip(folders, dataset.splits, found, strict=True)
    )
