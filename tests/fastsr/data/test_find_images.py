"""Image files: which are found."""

from pathlib import Path

import pytest

from fastsr.data.images import EXTENSIONS, find_images
from fastsr.errors import UserError


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return [folder / name for name in names]


def test_find_images_searches_folders_recursively_and_sorts(tmp_path: Path) -> None:
    expected = touch(
        tmp_path, "a.png", "b/a.jpg", "b/c/z.JPEG", "b/d.webp", "c.BMP", "d.tif", "e.tiff"
    )
    touch(tmp_path, "notes.txt", "b/list.csv", "png", "f.png.part")
    assert find_images((tmp_path,)) == expected
    assert {path.suffix.lower() for path in expected} | {".jpg"} == EXTENSIONS


def test_find_images_leaves_out_hidden_files(tmp_path: Path) -> None:
    (shown,) = touch(tmp_path, "shown.png")
    touch(tmp_path, ".hidden.png", "._shown.png")
    assert find_images((tmp_path,)) == [shown]


def test_find_images_leaves_out_hidden_folders(tmp_path: Path) -> None:
    (shown,) = touch(tmp_path, "shown.png")
    touch(tmp_path, ".thumbnails/shown.png", "deep/.cache/shown.png")
    assert find_images((tmp_path,)) == [shown]


def test_find_images_searches_a_hidden_folder_that_is_named(tmp_path: Path) -> None:
    expected = touch(tmp_path / ".data", "a.png")
    assert find_images((tmp_path / ".data",)) == expected


def test_find_images_takes_a_single_file_as_it_is(tmp_path: Path) -> None:
    expected = touch(tmp_path, "scan.dat", ".hidden.png")
    touch(tmp_path, "other.png")
    assert find_images(tuple(expected)) == expected


def test_find_images_keeps_the_order_of_sources(tmp_path: Path) -> None:
    z, a, b = touch(tmp_path, "z/1.png", "a/1.png", "a/2.png")
    assert find_images((tmp_path / "z", tmp_path / "a")) == [z, a, b]


def test_find_images_follows_links_to_folders(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/link").symlink_to(tmp_path / "elsewhere")
    assert find_images((tmp_path / "data",)) == [tmp_path / "data/link/a.png"]


def test_find_images_finds_each_image_once_where_links_form_a_circle(tmp_path: Path) -> None:
    expected = touch(tmp_path, "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert find_images((tmp_path,)) == expected


def test_find_images_names_a_missing_source(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    with pytest.raises(UserError, match=f"{tmp_path}/gone does not exist"):
        find_images((tmp_path, tmp_path / "gone"))


def test_find_images_names_a_folder_without_images(tmp_path: Path) -> None:
    touch(tmp_path, "good/a.png", "empty/notes.txt")
    with pytest.raises(UserError, match=rf"{tmp_path}/empty holds no image \(.*\.png.*\)"):
        find_images((tmp_path / "good", tmp_path / "empty"))


def run_folder(folder: Path) -> None:
    """What a run leaves behind, as far as images are concerned."""
    touch(folder, "metrics.jsonl", "config.toml", "pictures/step-1.png", "pictures/step-2.png")
    touch(folder, "evaluation/evaluation.json", "evaluation/images.csv")
    touch(folder, "evaluation/pictures/Set5/0.png")


def test_images_that_fastsr_made_are_left_out_and_counted(tmp_path: Path) -> None:
    (photo,) = touch(tmp_path, "photo.png")
    run_folder(tmp_path / "runs/demo-x4")
    touch(tmp_path, "upscaled/.fastsr", "upscaled/deep/photo-x4.png")
    said: list[str] = []
    assert find_images((tmp_path,), said.append) == [photo]
    assert said == [
        f"images that fastsr made are left out: {tmp_path}/runs/demo-x4/evaluation (1), "
        f"{tmp_path}/runs/demo-x4/pictures (2), {tmp_path}/upscaled (1)"
    ]
    touch(tmp_path, "upscaled/planes-x4.npy")
    find_images((tmp_path,), said.append, {".png", ".npy"})
    assert said[1].endswith(f"{tmp_path}/upscaled (2)")


def test_a_run_that_is_trained_right_in_the_folder_of_its_images(tmp_path: Path) -> None:
    (photo,) = touch(tmp_path, "photo.png")
    run_folder(tmp_path)
    assert find_images((tmp_path,)) == [photo]


def test_nothing_is_said_where_nothing_is_left_out(tmp_path: Path) -> None:
    expected = touch(tmp_path, "a.png", "evaluation/c.png", "pictures/b.png")
    touch(tmp_path, "empty/.fastsr")
    said: list[str] = []
    assert find_images((tmp_path,), said.append) == expected
    assert said == []


def test_what_fastsr_made_is_found_where_it_is_named(tmp_path: Path) -> None:
    (image,) = touch(tmp_path, "upscaled/a.png")
    touch(tmp_path, "upscaled/.fastsr")
    assert find_images((tmp_path / "upscaled",)) == [image]
    with pytest.raises(UserError, match="holds no image besides what fastsr made"):
        find_images((tmp_path,))
