"""Words on the command line, together with recipes and --config files."""

from dataclasses import replace
from pathlib import Path

import pytest

from fastsr.cli.configuration import train_config
from fastsr.cli.main import DoctorArguments
from fastsr.config.recipes import demo, paper
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from tests.fastsr.cli.command_line import Fastsr, Trained, assert_one_line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "--config {file} does not exist"),
        ("[images\n", "--config {file} cannot be read: "),
        ("[images]\nbatch = 'x'\n", '{file}: [images] batch = "x" is not a int'),
        (
            "[images]\nbach = 4\n",
            "{file}: [images] has no setting 'bach'; it has data, lr_data, val",
        ),
        ("[pictures]\n", "{file}: unknown section or key 'pictures'; sections are [images]"),
        ("batch = 4\n", "{file}: unknown section or key 'batch'; it belongs in [images]"),
        ("[images]\nbatch = 1\n", "--batch 1 cannot be used; use 2 or more"),
        ('[output]\nout = ""\n', '{file}: [output] out = "" is empty; write "." where this folder'),
        ('[images]\ndata = ["a", ""]\n', '{file}: [images] data = "" is empty; write "."'),
        ("[cohort]\nmixing_matrix = [[0, 1]]\n", "mixing_matrix must have 2 rows of 2 numbers"),
    ],
    ids=[
        "missing",
        "malformed",
        "type",
        "unknown key",
        "unknown section",
        "no section",
        "value",
        "empty path",
        "empty among paths",
        "matrix",
    ],
)
@pytest.mark.parametrize("command", ["train", "doctor"])
def test_config_files_that_cannot_be_used(
    fastsr: Fastsr, tmp_path: Path, command: str, text: str | None, message: str
) -> None:
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text)
    assert_one_line(fastsr(command, "--config", file), message.format(file=file))


def test_without_data_the_recipe_is_the_demonstration() -> None:
    assert train_config([]) == demo()


@pytest.mark.parametrize("words", ["--data a b", "--data=a", "--batch 4 --data a"])
def test_with_data_the_recipe_is_the_papers(words: str) -> None:
    config = train_config(words.split())
    images = replace(paper().images, data=config.images.data, batch=config.images.batch)
    assert config == replace(paper(), images=images)
    assert config.images.data[0] == Path("a")
    assert config.images.batch == (4 if "--batch" in words else 16)


def test_a_recipe_may_be_chosen() -> None:
    assert train_config(["--recipe", "demo", "--data", "a"]) == replace(
        demo(), images=replace(demo().images, data=(Path("a"),))
    )
    assert train_config(["--recipe", "paper"]) == paper()


def test_doctor_understands_the_options_of_train() -> None:
    words = ["--data", "a", "--batch", "4", "--recipe", "demo"]
    assert train_config(words, DoctorArguments) == train_config(words)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "settings.toml"
    file.write_text("[images]\nbatch = 6\n[optim]\nlr = 5e-4\nema = 0.5\n")
    return file


@pytest.mark.parametrize("recipe", ["paper", "demo"])
def test_a_config_file_goes_before_the_recipe_and_options_before_both(
    settings: Path, recipe: str
) -> None:
    base = paper() if recipe == "paper" else demo()
    config = train_config(["--recipe", recipe, "--config", str(settings), "--lr", "2e-4"])
    assert (config.images.batch, config.optim.lr, config.optim.ema) == (6, 2e-4, 0.5)
    assert config == replace(
        base, images=replace(base.images, batch=6), optim=replace(base.optim, lr=2e-4, ema=0.5)
    )


def test_the_order_of_options_does_not_matter(settings: Path) -> None:
    words = ["--lr", "2e-4", "--config", str(settings), "--out", "x", "--recipe", "paper"]
    assert train_config(words) == train_config(words[2:] + words[:2])
    assert train_config(words).output.out == Path("x")


def test_data_in_a_config_file_chooses_the_papers_recipe(settings: Path) -> None:
    assert train_config(["--config", str(settings)]).recipe == "demo"
    settings.write_text("[images]\ndata = ['a']\n")
    config = train_config(["--config", str(settings)])
    assert (config.recipe, config.model, config.images.data) == (
        "paper",
        paper().model,
        (Path("a"),),
    )


def test_out_in_a_config_file_is_used_unless_given(settings: Path) -> None:
    settings.write_text("[output]\nout = 'a'\n")
    assert train_config(["--config", str(settings)]).output.out == Path("a")
    assert train_config(["--config", str(settings), "--out", "b"]).output.out == Path("b")


def test_the_config_of_a_run_can_start_another(trained: Trained) -> None:
    words = ["--config", str(trained.folder / "config.toml"), "--out", "again"]
    saved = from_toml(trained.folder / "config.toml", TrainConfig())
    assert train_config(words) == replace(saved, output=replace(saved.output, out=Path("again")))
