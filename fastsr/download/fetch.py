"""Downloads and unpacks published data sets. Interrupted at any moment, by a cut connection or a kill, it continues."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from fastsr.console import is_live
from fastsr.download.catalogue import DATASETS, Archive, Dataset, Split, choose
from fastsr.download.transfer import bytes_of, check_room, download
from fastsr.download.unpack import unpack
from fastsr.errors import UserError
from fastsr.files import lock


def fetch(
    names: Iterable[str],
    root: Path,
    tell: Callable[[str], None],
    *,
    console: Console | None = None,
    catalogue: Mapping[str, Dataset] = DATASETS,
) -> list[Path]:
    """Puts data sets below `root`, downloading only what is not there. Returns their folders of originals.

    An archive stays in `root/.archives` until every data set in it has been unpacked.

    Args:
        tell: says one line. console: where a progress bar is shown, if it is a terminal.
    Raises:
        UserError: a name is not known, another process fetches into `root`, there is no connection, the disk is full,
            or what arrived is damaged. What is intact is kept, and used the next time.
    """
    datasets, console = choose(names, catalogue), console or Console()
    with locked(root) as archives, progress_bar(console) as progress:
        missing: list[Split] = []
        for dataset in datasets:
            lacking = [split for split in dataset.splits if not split.is_present(root)]
            tell(
                f"{dataset.title}: {dataset.terms}"
                if lacking
                else f"{dataset.title} is in {root} already"
            )
            missing += lacking
        wanted = dict.fromkeys(split.archive for split in missing)
        check_room(
            sum(2 * (archive.size or 0) - bytes_of(archives / archive.file) for archive in wanted),
            root,
        )
        for archive in wanted:
            file = download(archive, archives, progress, tell=tell)
            for split in (split for split in missing if split.archive == archive):
                install(split, file, root, progress)
        for archive in dict.fromkeys(
            archive for dataset in datasets for archive in dataset.archives
        ):
            tidy(archive, root, catalogue, tell)
    return [folder for dataset in datasets for folder in dataset.folders(root)]


@contextmanager
def locked(root: Path) -> Generator[Path, None, None]:
    """Keeps other processes from fetching into `root`. Yields the folder of archives. Raises UserError."""
    archives = root / ".archives"
    try:
        archives.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{root} cannot be written ({error.strerror}); give another folder"
        ) from None
    held = lock(root / ".lock", f"another process fetches into {root}; wait for it, or stop it")
    try:
        yield archives
    finally:
        held.release()


def progress_bar(console: Console) -> Progress:
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, disable=not is_live(console))


def install(split: Split, file: Path, root: Path, progress: Progress) -> None:
    """Unpacks one split to its place, if it is whole."""

    def examine(folder: Path) -> None:
        if (found := split.count(folder)) != split.images:
            raise UserError(
                f"{file} holds {found} images of {split.members} instead of {split.images}; delete it"
            )

    task = progress.add_task(f"unpacking {split.folder}", total=None)
    unpack(
        file,
        split.members,
        root / split.folder,
        advance=partial(progress.advance, task),
        examine=examine,
    )
    progress.remove_task(task)


def tidy(
    archive: Archive, root: Path, catalogue: Mapping[str, Dataset], tell: Callable[[str], None]
) -> None:
    """Removes an archive, unless data sets that are not there yet would have to download it again."""
    file = root / ".archives" / archive.file
    splits = [(d.name, s) for d in catalogue.values() for s in d.splits if s.archive == archive]
    waiting = dict.fromkeys(name for name, split in splits if not (root / split.folder).exists())
    if not waiting:
        file.unlink(missing_ok=True)
    elif file.exists():
        tell(
            f"{file} ({decimal(bytes_of(file))}) is kept for {' '.join(waiting)}; delete it if you want none of them"
        )
