"""Degradations as settings: presets, options files of Real-ESRGAN, and what cannot be used."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from fastsr.cli.configuration import train_config
from fastsr.config.check import check
from fastsr.config.degrade import PRESETS, DegradeConfig
from fastsr.config.presets import preset
from fastsr.config.recipes import paper
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml, to_toml
from fastsr.errors import UserError

OPTIONS = """
scale: 4
gt_usm: True
l1_gt_usm: True
resize_prob: [0.2, 0.7, 0.1]  # up, down, keep
resize_range: [0.15, 1.5]
gaussian_noise_prob: 0.5
noise_range: [1, 30]
poisson_scale_range: [0.05, 3]
gray_noise_prob: 0.4
jpeg_range: [30, 95]
second_blur_prob: 0.8
resize_prob2: [0.3, 0.4, 0.3]
resize_range2: [0.3, 1.2]
gaussian_noise_prob2: 0.5
noise_range2: [1, 25]
poisson_scale_range2: [0.05, 2.5]
gray_noise_prob2: 0.4
jpeg_range2: [30, 95]
datasets:
  train:
    name: DF2K+OST
    blur_kernel_size: 21
    kernel_list: ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']
    kernel_prob: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
    sinc_prob: 0.1
    blur_sigma: [0.2, 3]
    betag_range: [0.5, 4]
    betap_range: [1, 2]
    blur_kernel_size2: 21
    kernel_list2: ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']
    kernel_prob2: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
    sinc_prob2: 0.1
    blur_sigma2: [0.2, 1.5]
    betag_range2: [0.5, 4]
    betap_range2: [1, 2]
    final_sinc_prob: 0.8
    gt_size: 256
"""
"""The degradations of the published options for x4, in their form."""


@pytest.fixture
def options(tmp_path: Path) -> Path:
    file = tmp_path / "options.yml"
    file.write_text(OPTIONS)
    return file


def test_default_is_the_papers_bicubic() -> None:
    assert paper().degrade == DegradeConfig()
    assert paper().degrade.is_bicubic
    assert paper().drawn_side == paper().images.patch


def test_published_options_are_the_preset(options: Path) -> None:
    assert replace(preset(str(options)), degrade="real-esrgan") == preset("real-esrgan")


def test_blur_kernels_are_found_by_name(options: Path) -> None:
    first = OPTIONS.replace("['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']",
                            "['plateau_iso', 'iso']", 1)  # fmt: skip
    options.write_text(first.replace("[0.45, 0.25, 0.12, 0.03, 0.12, 0.03]", "[0.3, 0.7]", 1))
    assert preset(str(options)).kernel_prob == (0.7, 0, 0, 0, 0.3, 0)
    options.write_text(options.read_text().replace("'plateau_iso'", "'iso'", 1))
    assert preset(str(options)).kernel_prob == (1.0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("noise_range: [1, 30]\n", "", "noise_range is None, not a list"),
        ("sinc_prob: 0.1", "sinc_prob: often", "sinc_prob is often, not a number"),
        ("[0.15, 1.5]", "[0.15, x]", "resize_range is x, not a number"),
        ("'iso', ", "'round', ", "kernel_list"),
        ("kernel_list: ['iso'", "kernel_list: [['iso']", "kernel_list is"),
        ("kernel_list2:", "kernel_list2: 5 #", "kernel_list2 is 5 for 6 weights"),
        ("kernel_list2:", "kernel_list2: #", "kernel_list2 is None for 6 weights"),
        ("blur_kernel_size: 21", "blur_kernel_size: .inf", "blur_kernel_size is inf, not a number"),
        ("jpeg_range: [30, 95]", "jpeg_range: [30, .nan]", "jpeg_range is nan, not a number"),
        ("scale: 4", "scale: [4", "cannot be read"),
        (OPTIONS, "just words", "is None"),
    ],
)
def test_other_options_are_refused_by_name(
    options: Path, before: str, after: str, words: str
) -> None:
    options.write_text(OPTIONS.replace(before, after, 1))
    with pytest.raises(UserError, match=words) as error:
        preset(str(options))
    assert "\n" not in str(error.value)
    assert str(options) in str(error.value)


@pytest.mark.parametrize("name", ["real-esrgn", "absent.yml", "folder/"])
def test_unknown_presets_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=name):
        preset(name)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_sound_and_survive_toml(name: str, tmp_path: Path) -> None:
    config = check(replace(paper(), degrade=preset(name)))
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config))
    assert from_toml(file, TrainConfig()) == config
    assert ("jpeg_range" in file.read_text()) == (name != "bicubic")


def test_settings_in_a_file_go_before_its_preset(tmp_path: Path, options: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('[degrade]\njpeg_range = [10, 20]\ndegrade = "light"\n')
    assert train_config(["--config", str(file)]).degrade == replace(
        preset("light"), jpeg_range=(10, 20)
    )
    assert train_config(["--config", str(file), "--degrade", "bsrgan"]).degrade == preset("bsrgan")
    file.write_text(f'[degrade]\ndegrade = "{options}"\n')
    config = train_config(["--config", str(file)])
    assert config.degrade == preset(str(options))
    options.unlink()
    file.write_text(to_toml(config))
    assert train_config(["--config", str(file)]).degrade == config.degrade


REFUSED: list[tuple[str, Any, str]] = [
    ("jpeg_range", (0, 95), "use numbers from 1 to 100"),
    ("jpeg_range2", (30, 101), "use numbers from 1 to 100"),
    ("jpeg_range", (95, 30), "give the least, then the greatest"),
    ("blur_sigma", (0.0, 3.0), "use numbers from 0.01"),
    ("blur_sigma2", (1.0, float("nan")), "give the least"),
    ("noise_range", (-1.0, 3.0), "use numbers from 0"),
    ("noise_range", (1.0,), "give the least"),
    ("resize_range", (0.5, 0.9), "from 1 on"),
    ("resize_range2", (1.1, 1.2), "up to 1"),
    ("resize_range", (0.15, 9.0), "to 4"),
    ("betag_range", (2.0, 3.0), "up to 1"),
    ("resize_prob", (0.0, 0.0, 0.0), "3 weights"),
    ("resize_prob2", (0.5, 0.5), "3 weights"),
    ("kernel_prob", (1.0, -1.0, 0.0, 0.0, 0.0, 0.0), "6 weights"),
    ("sinc_prob", 1.5, "use 0 to 1"),
    ("final_sinc_prob", float("nan"), "use 0 to 1"),
    ("blur_taps", (7, 20), "odd"),
    ("blur_taps", (6, 21), "odd"),
    ("blur_taps", (7, 51), "wider than the 48 pixels"),
    ("context", -4, "use 0 or more"),
]


@pytest.mark.parametrize(("name", "value", "remedy"), REFUSED)
def test_values_that_cannot_be_are_named(name: str, value: Any, remedy: str) -> None:
    config = paper()
    changed = {"context": 0, name: value}
    images = replace(config.images, patch=48)
    degrade = replace(preset("real-esrgan"), **changed)
    with pytest.raises(UserError, match=f"{name.replace('_', '-')}.*{remedy}"):
        check(replace(config, images=images, degrade=degrade))


def test_patches_that_shrink_to_nothing_are_refused() -> None:
    config = paper()
    degrade = replace(preset("real-esrgan"), context=0, blur_taps=(3, 5))
    images = replace(config.images, patch=16)
    with pytest.raises(UserError, match=r"patch 16.*leaves 1 pixels"):
        check(replace(config, images=images, degrade=degrade))


def test_numbers_of_bicubic_do_not_matter() -> None:
    check(replace(paper(), degrade=DegradeConfig(jpeg_range=(0, 0))))


def test_fields_of_both_rounds_are_the_same() -> None:
    names = {field.name for field in fields(DegradeConfig)}
    second = {name.removesuffix("2") for name in names if name.endswith("2")}
    assert second < names
    assert len(second) == 15
