"""Test sets are found in the layouts that people have, and whatever does not belong together is named."""

from pathlib import Path

import pytest
from PIL import Image

from fastsr.errors import UserError
from fastsr.evaluation.test_sets import find_set
from tests.images import random_image

LAYOUTS = {
    "flat": (["baby.png", "bird.webp"], []),
    "HR": (
        ["HR/baby.png", "HR/bird.png"],
        ["LR_bicubic/X4/babyx4.png", "LR_bicubic/X4/birdx4.png"],
    ),
    "GTmod12": (["GTmod12/baby.png", "GTmod12/bird.png"], ["LRbicx4/baby.png", "LRbicx4/bird.png"]),
    "original": (["original/baby.png", "original/bird.png"], []),
    "SelfExSR": (
        ["image_SRF_4/baby_SRF_4_HR.png", "image_SRF_4/bird_SRF_4_HR.png"],
        ["image_SRF_4/baby_SRF_4_LR.png", "image_SRF_4/bird_SRF_4_LR.png"],
    ),
    "x4": (["x4/baby_HR.png", "x4/bird_HR.png"], ["x4/baby_LR.png", "x4/bird_LR.png"]),
    "marked": (["baby_HR.png", "bird_HR.png"], ["baby_LR.png", "bird_LR.png"]),
}


def write(folder: Path, names: list[str], height: int = 8, width: int = 8) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_image(height, width)).save(folder / name)


@pytest.mark.parametrize(("high", "low"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layouts(tmp_path: Path, high: list[str], low: list[str]) -> None:
    folder = tmp_path / "mine"
    write(folder, [*high, *low, "HR2/other.png"])
    found = find_set("mine", tmp_path, 4)
    assert (found.name, [image.name for image in found.images]) == ("mine", ["baby", "bird"])
    assert [image.hr for image in found.images] == [folder / name for name in high]
    assert [image.lr for image in found.images] == [None, None]
    if low:
        assert [image.lr for image in find_set("mine", tmp_path, 4, given=True).images] == [
            folder / n for n in low
        ]


def test_other_methods_results_beside_the_originals_are_left_out(tmp_path: Path) -> None:
    write(
        tmp_path / "mine/image_SRF_4",
        ["a_SRF_4_HR.png", "a_SRF_4_LR.png", "a_SRF_4_SRCNN.png", "a_SRF_4_bicubic.png"],
    )
    (image,) = find_set("mine", tmp_path, 4, given=True).images
    assert (image.name, image.hr.name, image.lr and image.lr.name) == (
        "a",
        "a_SRF_4_HR.png",
        "a_SRF_4_LR.png",
    )


def test_the_low_resolution_of_another_scale_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "mine", ["HR/a.png", "LR_bicubic/X2/ax2.png"])
    with pytest.raises(
        UserError, match=r"holds no low-resolution images of scale 4 .*use --lr bicubic"
    ):
        find_set("mine", tmp_path, 4, given=True)


def test_div2k_has_its_low_resolution_beside_it(tmp_path: Path) -> None:
    write(tmp_path, ["DIV2K_valid_HR/0801.png", "DIV2K_valid_LR_bicubic/X2/0801x2.png"])
    (image,) = find_set("DIV2K_valid_HR", tmp_path, 2, given=True).images
    assert image.lr == tmp_path / "DIV2K_valid_LR_bicubic/X2/0801x2.png"


@pytest.mark.parametrize(
    ("word", "folder"),
    [("set5", "Set5"), ("SET5", "benchmark/Set5"), ("BSD100", "B100"), ("b100", "BSD100")],
)
def test_names_in_any_case_and_their_aliases(tmp_path: Path, word: str, folder: str) -> None:
    write(tmp_path / folder, [f"{k}.png" for k in range(100 if "100" in folder else 5)])
    assert find_set(word, tmp_path, 4).folder == tmp_path / folder


def test_a_folder_instead_of_a_name(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", ["a.png"])
    assert find_set(str(tmp_path / "elsewhere"), tmp_path / "root", 4).name == "elsewhere"


def test_a_missing_set_says_what_there_is(tmp_path: Path) -> None:
    write(tmp_path / "Set14", ["a.png"])
    with pytest.raises(
        UserError,
        match=r"^--sets Set5: no such folder, and --data-root .* holds Set14; .*fetch set5$",
    ):
        find_set("Set5", tmp_path, 4)


def test_a_well_known_set_with_missing_images(tmp_path: Path) -> None:
    write(tmp_path / "Set5", ["a.png", "b.png", "c.png"])
    with pytest.raises(UserError, match=r"^Set5 has 5 images, and .* holds 3; complete it"):
        find_set("Set5", tmp_path, 4)


def test_images_without_a_counterpart_are_all_listed(tmp_path: Path) -> None:
    write(
        tmp_path / "mine",
        ["HR/a.png", "HR/b.png", "HR/c.png", "LR_bicubic/X4/ax4.png", "LR_bicubic/X4/zx4.png"],
    )
    with pytest.raises(UserError) as raised:
        find_set("mine", tmp_path, 4, given=True)
    head, *listed = str(raised.value).splitlines()
    assert head.startswith("mine has 3 originals and 2 low-resolution images that do not match")
    hr, lr = tmp_path / "mine/HR", tmp_path / "mine/LR_bicubic/X4"
    assert [line.strip() for line in listed] == [
        f"{hr}/b.png has no low resolution", f"{hr}/c.png has no low resolution", f"{lr}/zx4.png has no original",
    ]  # fmt: skip


def test_two_files_of_one_name(tmp_path: Path) -> None:
    write(tmp_path / "mine", ["a.png", "a.webp"])
    with pytest.raises(UserError, match=r"a\.png and a\.webp are the same test image; remove one"):
        find_set("mine", tmp_path, 4)


def test_a_folder_of_unknown_layout(tmp_path: Path) -> None:
    write(tmp_path / "mine", ["train/a.png", "masks/a.png"])
    with pytest.raises(
        UserError,
        match=r"mine holds no test images \(only the folders masks, train\); put the originals",
    ):
        find_set("mine", tmp_path, 4)


@pytest.mark.parametrize("name", ["Set5", "Set14"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_matlab_made_pairs(shared_data: Path, name: str, scale: int) -> None:
    found = find_set(name, shared_data / "matlab_bicubic", scale, given=True)
    assert len(found.images) == {"Set5": 5, "Set14": 14}[name]
    assert all(image.lr and image.lr.name == f"{image.name}_LR.png" for image in found.images)
