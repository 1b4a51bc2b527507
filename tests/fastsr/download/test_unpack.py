"""Unpacking archives, damaged and hostile ones among them: all of a folder, or nothing."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archives import BODY, file_size_limit, png, tar_of, zip_of

from fastsr.download.unpack import unpack
from fastsr.errors import UserError


def special(kind: bytes, target: str = "") -> bytes:
    """A tar with one good file, and one that is a link or device."""
    out = io.BytesIO(tar_of({"set/a.png": png(0)}, "w"))
    with tarfile.open(fileobj=out, mode="a") as archive:
        info = tarfile.TarInfo("set/b.png")
        info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 5
        archive.addfile(info)
    return out.getvalue()


def zip_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("set/b.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


GOOD = {"set/a.png": png(0)}
HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "zip slip": (
        "a.zip",
        lambda: zip_of({**GOOD, "set/../../evil.png": png(1)}),
        "outside its folder",
    ),
    "zip slip, backslashes": (
        "a.zip",
        lambda: zip_of({**GOOD, "set\\..\\..\\evil.png": png(1)}),
        "outside its folder",
    ),
    "zip absolute": ("a.zip", lambda: zip_of({**GOOD, "/evil.png": png(1)}), "outside its folder"),
    "zip link": ("a.zip", zip_link, "set/b.png, a link or device"),
    "zip bomb": (
        "a.zip",
        lambda: zip_of({**GOOD, "set/b.png": bytes(2_000_000)}),
        "expands to more than 1.0 MB",
    ),
    "tar slip": (
        "a.tar",
        lambda: tar_of({**GOOD, "set/../../evil.png": png(1)}, "w"),
        "outside its folder",
    ),
    "tar absolute": (
        "a.tar",
        lambda: tar_of({**GOOD, "/evil.png": png(1)}, "w"),
        "outside its folder",
    ),
    "tar symbolic link": (
        "a.tar",
        lambda: special(tarfile.SYMTYPE, "/etc/passwd"),
        "set/b.png, a link or device",
    ),
    "tar hard link": (
        "a.tar",
        lambda: special(tarfile.LNKTYPE, "set/a.png"),
        "set/b.png, a link or device",
    ),
    "tar device": ("a.tar", lambda: special(tarfile.CHRTYPE), "set/b.png, a link or device"),
    "tar pipe": ("a.tar", lambda: special(tarfile.FIFOTYPE), "set/b.png, a link or device"),
    "tar.gz bomb": (
        "a.tar.gz",
        lambda: tar_of({**GOOD, "other/b": bytes(2_000_000)}),
        "expands to more than 1.0 MB",
    ),
    "not a zip": ("a.zip", lambda: BODY, "is damaged"),
    "not a tar": ("a.tar", lambda: BODY, "is damaged"),
    "cut tar": ("a.tar", lambda: tar_of({"set/a.png": BODY}, "w")[:100_000], "is damaged"),
    "cut tar.gz": ("a.tar.gz", lambda: tar_of({"set/a.png": BODY})[:100_000], "is damaged"),
    "flipped bit in a zip": (
        "a.zip",
        lambda: zip_of({"set/a.png": BODY}).replace(BODY[100:110], bytes(10)),
        "damaged",
    ),
    "another layout": ("a.zip", lambda: zip_of({"settings/a.png": png(0)}), "holds no folder set"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_archives_that_are_refused(case: str, tmp_path: Path) -> None:
    name, make, reason = HOSTILE[case]
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(make())
    with pytest.raises(UserError) as error:
        unpack(folder / name, "set", folder / "out")
    assert (
        reason in str(error.value)
        and str(folder / name) in str(error.value)
        and "\n" not in str(error.value)
    )
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "folder", name]


@pytest.mark.parametrize(
    ("name", "make"), [("a.zip", zip_of), ("a.tar", tar_of), ("a.tar.gz", tar_of)]
)
def test_unpacking_takes_one_folder(
    name: str, make: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(
        make({"./set/a.png": png(0), "set/sub/b.png": png(1), "set2/c.png": png(2)})
    )
    sizes: list[int] = []
    unpack(tmp_path / name, "set", tmp_path / "out", advance=sizes.append)
    assert {
        p.relative_to(tmp_path / "out").as_posix(): p.read_bytes()
        for p in (tmp_path / "out").rglob("*.png")
    } == {
        "a.png": png(0),
        "sub/b.png": png(1),
    }
    assert sizes == [len(png(0)), len(png(1))]


def test_unpacking_onto_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(zip_of({"set/a.png": BODY}))
    with file_size_limit(100_000), pytest.raises(UserError) as error:
        unpack(file, "set", tmp_path / "out")
    assert "cannot be unpacked to" in str(error.value) and "(File too large); about 300" in str(
        error.value
    )
    assert list(tmp_path.iterdir()) == [file]
