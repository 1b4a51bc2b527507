"""Settings as TOML, there and back."""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from fastsr.config.check import check
from fastsr.config.recipes import demo, paper
from fastsr.config.settings import (
    TrainConfig,
)
from fastsr.config.toml import from_toml, to_toml
from fastsr.errors import UserError
from tests.fastsr.config.configurations import CHANGED, changed


def settings(config: TrainConfig) -> dict[str, Any]:
    """Every setting by its path, such as "images.batch"."""
    found: dict[str, Any] = {"recipe": config.recipe}
    for group in fields(config):
        if is_dataclass(values := getattr(config, group.name)):
            found |= {
                f"{group.name}.{field.name}": getattr(values, field.name)
                for field in fields(values)
            }
    return found


def test_the_changed_configuration_changes_every_setting() -> None:
    assert [
        path for path, value in settings(CHANGED).items() if value == settings(TrainConfig())[path]
    ] == []
    assert check(CHANGED) is CHANGED


@pytest.mark.parametrize(
    "config", [paper(), demo(), CHANGED], ids=["paper", "demo", "everything changed"]
)
@pytest.mark.parametrize("base", [paper(), demo(), CHANGED], ids=lambda base: f"over {base.recipe}")
def test_toml_round_trip(tmp_path: Path, config: TrainConfig, base: TrainConfig) -> None:
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config))
    unset = {path for path, value in settings(config).items() if value is None}
    expected = {
        path: settings(base)[path] if path in unset else value
        for path, value in settings(config).items()
    }
    read = from_toml(file, base)
    assert settings(read) == expected
    assert {path: type(value) for path, value in settings(read).items()} == {
        path: type(value) for path, value in expected.items()
    }


@pytest.mark.parametrize(
    "name",
    ["😀", "Größe", "tab\tand\nline", 'a"b\\c', "\x7f", "[section]", "# none"],
    ids=["emoji", "umlauts", "white space", "quotes", "DEL", "brackets", "hash"],
)
def test_any_path_survives_toml(tmp_path: Path, name: str) -> None:
    config = changed("images.data", (Path(name),))
    (tmp_path / "config.toml").write_text(to_toml(config))
    assert from_toml(tmp_path / "config.toml", paper()) == config


@pytest.mark.parametrize(
    ("path", "value", "option"),
    [
        ("images.data", (Path("fine"), Path(os.fsdecode(b"caf\xe9"))), "--data"),
        ("images.cache", Path(os.fsdecode(b"caf\xe9")), "--cache"),
        ("output.out", Path(os.fsdecode(b"caf\xe9")), "--out"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_path_that_is_no_text_is_named(path: str, value: object, option: str) -> None:
    with pytest.raises(UserError) as error:
        to_toml(changed(path, value))
    assert (
        str(error.value)
        == rf"{option} caf\udce9 is not UTF-8 and cannot be kept in config.toml; rename it"
    )


def test_a_matrix_is_written_as_rows() -> None:
    lines = to_toml(CHANGED).splitlines()
    start = lines.index("mixing_matrix = [")
    rows = [line.strip() for line in lines[start + 1 : start + 5]]
    assert rows == ["[0.0, 0.5, 0.25],", "[1.0, 0.0, 0.0],", "[0.001, 2.0, 0.0],", "]"]
    odd = ("[\n1,\n]", '"', "[1, 2]")
    assert tomllib.loads(to_toml(changed("images.data", tuple(map(Path, odd)))))["images"][
        "data"
    ] == list(odd)


def test_toml_has_a_section_for_every_group() -> None:
    content = tomllib.loads(to_toml(CHANGED))
    assert content.pop("recipe") == "mine"
    assert list(content) == [
        "images",
        "degrade",
        "model",
        "cohort",
        "loss",
        "optim",
        "machine",
        "distributed",
        "output",
    ]
    assert content["cohort"]["mixing_matrix"] == [
        [0.0, 0.5, 0.25],
        [1.0, 0.0, 0.0],
        [1e-3, 2.0, 0.0],
    ]
    assert content["images"]["cache"] == "/tmp/cache"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "settings.toml"


def refused(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(UserError) as error:
        from_toml(file, paper())
    message = str(error.value)
    assert "\n" not in message
    assert str(file) in message
    return message


def test_toml_changes_only_what_it_names(file: Path) -> None:
    file.write_text("[images]\nbatch = 4\n[optim]\nlr = 1\n[loss]\nvgg = 'weights.pth'\n")
    config = from_toml(file, demo())
    expected = changed(
        "loss.vgg",
        Path("weights.pth"),
        changed("optim.lr", 1.0, changed("images.batch", 4, demo())),
    )
    assert config == expected
    assert isinstance(config.optim.lr, float)


def test_an_empty_file_changes_nothing(file: Path) -> None:
    file.write_text("# nothing\n")
    assert from_toml(file, demo()) == demo()


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(UserError, match=f"--config {file} does not exist"):
        from_toml(file, paper())


def test_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--config {tmp_path} cannot be read: .*directory"):
        from_toml(tmp_path, paper())


@pytest.mark.parametrize(
    "content",
    [b"[images\nbatch = 4", b"batch 4", b"\xff\xfe\x00", b"[images]\nbatch = 4\nbatch = 5"],
    ids=["section not closed", "no equals sign", "no text", "key twice"],
)
def test_a_malformed_file_is_named(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"--config {file} cannot be read: "):
        from_toml(file, paper())


def test_an_unknown_section_is_named_beside_the_known_ones(file: Path) -> None:
    message = refused(file, "[network]\nblocks = 4\n")
    assert "'network'" in message
    assert (
        "sections are [images], [degrade], [model], [cohort], [loss], [optim], [machine], [distributed], [output]"
        in message
    )


def test_a_setting_outside_its_section_is_sent_home(file: Path) -> None:
    message = refused(file, "batch = 4\n")
    assert "'batch'" in message
    assert "it belongs in [images]" in message


def test_an_unknown_setting_is_named_beside_the_known_ones(file: Path) -> None:
    message = refused(file, "[model]\nblokcs = 4\n")
    assert (
        "[model] has no setting 'blokcs'; it has scale, channels, blocks, filters, skip, discriminator_filters"
        in message
    )


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("images", "batch = '4'"),
        ("images", "batch = 4.0"),
        ("images", "batch = true"),
        ("images", "augment = 1"),
        ("images", "augment = 'yes'"),
        ("images", "data = 'folder'"),
        ("images", "data = [1]"),
        ("images", "cache = 3"),
        ("images", "border = 'wrap'"),
        ("model", "scale = 5"),
        ("model", "scale = '4'"),
        ("model", "scale = true"),
        ("model", "scale = 4.0"),
        ("cohort", "temperature = 2"),
        ("cohort", "temperature = ['hot']"),
        ("cohort", "mixing = [[0, 1], [1, 0]]"),
        ("cohort", "mixing_matrix = [0, 1]"),
        ("cohort", "mixing_matrix = [[0, 'a'], [1, 0]]"),
        ("cohort", "variant = 'dml'"),
        ("optim", "lr = 'fast'"),
        ("optim", "lr = true"),
        ("optim", "lr = 1979-05-27"),
        ("optim", "steps = 12:00:00"),
        ("optim", "steps = {count = 4}"),
        ("optim", "lr_milestones = [1.5]"),
        ("machine", "device = 0"),
    ],
    ids=lambda value: value,
)
def test_a_value_of_another_type_is_named(file: Path, section: str, line: str) -> None:
    key = line.partition(" ")[0]
    assert f"[{section}] {key} = " in refused(file, f"[{section}]\n{line}\n")


@pytest.mark.parametrize(
    "text", ["images = 3\n", "[[images]]\nbatch = 4\n"], ids=["number", "list of tables"]
)
def test_a_section_that_is_no_section_is_named(file: Path, text: str) -> None:
    message = refused(file, text)
    assert "images" in message
    assert "unknown" not in message  # it is known, and no section here


def test_a_recipe_of_another_type_is_named(file: Path) -> None:
    assert "recipe" in refused(file, "recipe = 3\n")
