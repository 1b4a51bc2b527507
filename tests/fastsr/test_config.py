"""Settings: which are refused and in what words, what they mean together, and their way to TOML and back."""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fastsr import peer
from fastsr.config import (
    CohortConfig,
    ImagesConfig,
    LossConfig,
    MachineConfig,
    MixingName,
    ModelConfig,
    OptimConfig,
    OutputConfig,
    TrainConfig,
    Variant,
    initial_weights,
    mixing_matrix,
    temperatures,
)
from fastsr.errors import UserError
from fastsr.recipes import demo, paper
from fastsr.toml import from_toml, to_toml

INF, NAN = float("inf"), float("nan")
CHANGED = TrainConfig(
    recipe="mine",
    images=ImagesConfig(
        data=(Path("/data/a b"), Path("Größe 日本")),
        val=(Path('quote " and \\ backslash'),),
        cache=Path("/tmp/cache"),
        skip_bad=True,
        batch=3,
        patch=48,
        border="mirror",
        probability="area",
        augment=False,
    ),
    model=ModelConfig(scale=8, blocks=5, filters=6, skip="nearest", discriminator_filters=7),
    cohort=CohortConfig(
        peers=3,
        variant="ml-star",
        temperature=(1.5, 2.0, 1e-7),
        mixing="ring",
        mixing_matrix=((0.0, 0.5, 0.25), (1.0, 0.0, 0.0), (1e-3, 2.0, 0.0)),
        starts=(2, 0, 1),
        kl_weight=0.1,
    ),
    loss=LossConfig(
        content="random-vgg", vgg=Path("vgg.pth"), content_weight=2.5, content_ratio=3.5, adversarial_weight=3e-5
    ),
    optim=OptimConfig(steps=11, pretrain_steps=12, lr=2e-5, lr_milestones=(5, 7), lr_gamma=0.5, ema=0.0),
    machine=MachineConfig(
        device="cuda:1",
        amp=True,
        compile=True,
        autotune=True,
        checkpoint_activations=True,
        graph="auto",
        peer_streams=1,
        fused=False,
        channels_last=False,
        seed=2**53 + 1,
    ),
    output=OutputConfig(out=Path("runs/x"), resume=True, log_every=1, save_every=2, val_every=4, keep=5),
)


def settings(config: TrainConfig) -> dict[str, Any]:
    """Every setting by its path, such as "images.batch"."""
    found: dict[str, Any] = {"recipe": config.recipe}
    for group in fields(config):
        if is_dataclass(values := getattr(config, group.name)):
            found |= {f"{group.name}.{field.name}": getattr(values, field.name) for field in fields(values)}
    return found


def changed(path: str, value: Any, base: TrainConfig | None = None) -> TrainConfig:
    """A configuration with one setting changed."""
    base = base or TrainConfig()
    group, name = path.split(".")
    return replace(base, **{group: replace(getattr(base, group), **{name: value})})


REFUSED: list[tuple[str, Any, str]] = [
    ("images.batch", 1, "use 2 or more"),
    ("images.batch", -4, "use 2 or more"),
    ("images.patch", 15, "use 16 or more"),
    ("images.patch", 98, "use a multiple of the scale, such as 96"),
    ("model.scale", 5, "use 2, 3, 4 or 8"),
    ("model.scale", 1, "use 2, 3, 4 or 8"),
    ("model.blocks", 0, "use 1 or more"),
    ("model.filters", 0, "use 1 or more"),
    ("model.discriminator_filters", 0, "use 1 or more"),
    ("cohort.peers", 0, "use 1 or more"),
    ("cohort.kl_weight", -0.1, "use 0 or more"),
    ("cohort.kl_weight", NAN, "use 0 or more"),
    ("cohort.kl_weight", INF, "use"),
    ("cohort.temperature", (0.0,), "use a number above 0"),
    ("cohort.temperature", (-1.0,), "use a number above 0"),
    ("cohort.temperature", (INF,), "use a number above 0"),
    ("cohort.temperature", (NAN,), "use a number above 0"),
    ("cohort.temperature", (1.0, 1.0, 1.0), "give one for all, or one for each of 2 peers"),
    ("loss.content_weight", -1.0, "use 0 or more"),
    ("loss.content_weight", INF, "use"),
    ("loss.content_ratio", 0.0, "use a number above 0"),
    ("loss.content_ratio", INF, "use a number above 0"),
    ("loss.adversarial_weight", -1e-9, "use 0 or more"),
    ("loss.adversarial_weight", INF, "use"),
    ("optim.steps", -1, "use 0 or more"),
    ("optim.steps", 0, "train for at least one step"),
    ("optim.pretrain_steps", -1, "use 0 or more"),
    ("optim.lr", 0.0, "use a number between 0 and 1"),
    ("optim.lr", 1.0, "use a number between 0 and 1"),
    ("optim.lr", NAN, "use a number between 0 and 1"),
    ("optim.lr_milestones", (100, -5), "use"),
    ("optim.lr_gamma", 0.0, "use a number above 0, at most 1"),
    ("optim.lr_gamma", 1.5, "use a number above 0, at most 1"),
    ("optim.ema", 1.0, "use a number from 0 to below 1"),
    ("optim.ema", -0.1, "use a number from 0 to below 1"),
    ("machine.seed", -1, "use 0 or more"),
    ("machine.seed", 2**63, "below 2^63"),
    ("output.log_every", 0, "use 1 or more"),
    ("output.save_every", 0, "use 1 or more"),
    ("output.val_every", 0, "use 1 or more"),
    ("output.keep", 0, "use 1 or more"),
]


@pytest.mark.parametrize(("path", "value", "remedy"), REFUSED, ids=[f"{path}={value}" for path, value, _ in REFUSED])
def test_check_names_the_setting_its_value_and_the_remedy(path: str, value: Any, remedy: str) -> None:
    config = changed(path, value, changed("cohort.variant", "ml-star"))
    with pytest.raises(UserError) as error:
        config.check()
    text = str(error.value)
    assert text.startswith(f"--{path.split('.')[1].replace('_', '-')} ")
    assert remedy in text
    assert "\n" not in text
    if not isinstance(value, tuple):
        assert f" {value} cannot be used" in text


ALLOWED: list[tuple[str, Any]] = [
    ("images.batch", 2),
    ("images.patch", 16),
    ("model.scale", 3),
    ("model.blocks", 1),
    ("model.filters", 1),
    ("model.discriminator_filters", 1),
    ("cohort.peers", 1),
    ("cohort.kl_weight", 0.0),
    ("cohort.temperature", (0.5,)),
    ("cohort.temperature", (0.5, 20.0)),
    ("loss.content_weight", 0.0),
    ("loss.adversarial_weight", 0.0),
    ("optim.steps", 1),
    ("optim.lr", 0.999),
    ("optim.lr_gamma", 1.0),
    ("optim.ema", 0.0),
    ("machine.seed", 2**63 - 1),
    ("output.log_every", 1),
    ("output.keep", 1),
]


@pytest.mark.parametrize(("path", "value"), ALLOWED, ids=[f"{path}={value}" for path, value in ALLOWED])
def test_check_allows_the_limits_themselves(path: str, value: Any) -> None:
    config = changed(path, value, changed("cohort.variant", "ml-star"))
    assert config.check() is config


@pytest.mark.parametrize("recipe", [paper, demo])
def test_check_allows_every_recipe(recipe: Callable[[], TrainConfig]) -> None:
    config = recipe()
    assert config.check() is config
    assert config.recipe == recipe.__name__


def test_check_allows_pre_training_alone() -> None:
    config = changed("optim.pretrain_steps", 3, changed("optim.steps", 0))
    assert config.check().total_steps == 3


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("patch", [16, 17, 18, 19, 23, 100])
def test_the_remedy_for_a_patch_is_a_remedy(scale: int, patch: int) -> None:
    config = changed("images.patch", patch, changed("model.scale", scale))
    if patch % scale == 0:
        config.check()
        return
    with pytest.raises(UserError, match=f"--patch {patch} cannot be used; use a multiple of the scale") as error:
        config.check()
    (advised,) = re.findall(r"such as (\d+)", str(error.value))
    changed("images.patch", int(advised), config).check()


def test_total_steps_counts_pre_training() -> None:
    assert changed("optim.pretrain_steps", 7, changed("optim.steps", 5)).total_steps == 12


MATRICES: list[tuple[MixingName, int, list[list[float]]]] = [
    ("independent", 3, [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ("mutual", 1, [[0]]),
    ("mutual", 2, [[0, 1], [1, 0]]),
    ("mutual", 3, [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    ("variant", 3, [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    ("ring", 1, [[0]]),
    ("ring", 2, [[0, 1], [1, 0]]),
    ("ring", 3, [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    ("star", 1, [[0]]),
    ("star", 3, [[0, 0, 0], [1, 0, 0], [1, 0, 0]]),
    ("pairs", 2, [[0, 1], [1, 0]]),
    ("pairs", 4, [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]),
]


@pytest.mark.parametrize(
    ("mixing", "peers", "expected"), MATRICES, ids=[f"{name} of {peers}" for name, peers, _ in MATRICES]
)
@pytest.mark.parametrize("variant", ["ml", "ml-star"])
def test_mixing_by_name(variant: Variant, mixing: MixingName, peers: int, expected: list[list[float]]) -> None:
    assert mixing_matrix(CohortConfig(peers=peers, variant=variant, mixing=mixing)) == expected


@pytest.mark.parametrize("mixing", ["variant", "independent"])
def test_independent_peers_have_no_teachers(mixing: MixingName) -> None:
    assert mixing_matrix(CohortConfig(peers=2, variant="independent", mixing=mixing)) == [[0, 0], [0, 0]]


@pytest.mark.parametrize("mixing", ["mutual", "ring", "star", "pairs"])
def test_independent_contradicts_teaching(mixing: MixingName) -> None:
    config = replace(TrainConfig(), cohort=CohortConfig(variant="independent", mixing=mixing))
    with pytest.raises(UserError, match=f"--mixing {mixing} contradicts --variant independent; use --variant ml"):
        config.check()


@pytest.mark.parametrize("peers", [1, 3])
def test_pairs_need_an_even_number_of_peers(peers: int) -> None:
    config = replace(TrainConfig(), cohort=CohortConfig(peers=peers, mixing="pairs"))
    with pytest.raises(
        UserError, match=f"--mixing pairs needs an even number of peers, not --peers {peers}; use {peers + 1}"
    ):
        config.check()


@pytest.mark.parametrize("variant", ["independent", "ml", "ml-star"])
def test_a_matrix_overrides_the_name_and_the_variant(variant: Variant) -> None:
    matrix = ((0.0, 0.25), (3.0, 0.0))
    assert mixing_matrix(CohortConfig(variant=variant, mixing_matrix=matrix)) == [[0.0, 0.25], [3.0, 0.0]]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (((0.0,),), "mixing_matrix must have 2 rows of 2 numbers (one per peer)"),
        (((0.0, 1.0),), "mixing_matrix must have 2 rows of 2 numbers (one per peer)"),
        (((0.0, 1.0), (1.0,)), "mixing_matrix must have 2 rows of 2 numbers (one per peer)"),
        (((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0)), "mixing_matrix must have 2 rows of 2 numbers"),
        (((0.0, -1.0), (1.0, 0.0)), "mixing_matrix[0][1] is -1.0; weights are 0 or more"),
        (((0.0, 1.0), (NAN, 0.0)), "mixing_matrix[1][0] is nan; weights are 0 or more"),
        (((0.0, 1.0), (INF, 0.0)), "mixing_matrix[1][0] is inf; weights"),
        (((0.0, 1.0), (1.0, 0.5)), "mixing_matrix[1][1] is 0.5; no peer teaches itself, so the diagonal is 0"),
    ],
    ids=["1x1", "1x2", "ragged", "3x3", "negative", "nan", "inf", "diagonal"],
)
def test_a_matrix_that_fits_no_cohort_is_refused(matrix: tuple[tuple[float, ...], ...], message: str) -> None:
    with pytest.raises(UserError) as error:
        replace(TrainConfig(), cohort=CohortConfig(mixing_matrix=matrix)).check()
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("cohort", "expected"),
    [
        (CohortConfig(variant="independent"), [1, 1]),
        (CohortConfig(variant="ml"), [1, 1]),
        (CohortConfig(variant="ml", temperature=(1.0,)), [1, 1]),
        (CohortConfig(variant="ml-star"), [4, 4]),
        (CohortConfig(variant="ml-star", peers=3), [4, 4, 4]),
        (CohortConfig(variant="ml-star", temperature=(2.5,)), [2.5, 2.5]),
        (CohortConfig(variant="ml-star", temperature=(2.0, 5.0)), [2, 5]),
        (CohortConfig(variant="ml", peers=1), [1]),
    ],
    ids=["independent", "ml", "ml, T=1", "ml-star", "ml-star, 3 peers", "one T for all", "a T each", "1 peer"],
)
def test_temperatures(cohort: CohortConfig, expected: list[float]) -> None:
    assert temperatures(cohort) == expected


def test_ml_has_no_softening() -> None:
    with pytest.raises(UserError, match=r"--temperature 2\.0 softens; --variant ml has none\. Use --variant ml-star"):
        changed("cohort.temperature", (2.0,)).check()


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ((0,), r"--starts has 1 numbers; give one for each of 2 peers, or none"),
        ((0, -1), r"--starts -1 cannot be used; use numbers from 0 to 999"),
        ((0, 1000), r"--starts 1000 cannot be used"),
    ],
)
def test_initial_weights_that_cannot_be_meant(starts: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        changed("cohort.starts", starts).check()


def test_initial_weights_differ_unless_asked_to_be_alike() -> None:
    assert initial_weights(CohortConfig(peers=3)) == [0, 1, 2]
    assert initial_weights(CohortConfig(peers=3, starts=(4, 0, 4))) == [4, 0, 4]


def test_the_paper_recipe_has_the_papers_numbers() -> None:
    config = paper()
    assert (config.model.blocks, config.model.filters, config.model.discriminator_filters) == (32, 64, 64)
    assert (config.images.batch, config.images.patch, config.model.scale) == (16, 96, 4)
    assert (config.optim.steps, config.optim.pretrain_steps) == (50_000, 0)
    assert (config.optim.lr, config.optim.lr_milestones) == (1e-4, ())
    assert (config.cohort.peers, config.cohort.variant, config.cohort.kl_weight) == (2, "ml", 1.0)
    assert (config.loss.content, config.loss.adversarial_weight) == ("vgg54", 1e-3)
    assert peer.BETAS == (0.9, 0.999)
    assert mixing_matrix(config.cohort) == [[0, 1], [1, 0]]


def test_the_demo_needs_no_download() -> None:
    config = demo()
    assert config.loss.content == "pixel"
    assert config.images.data == ()
    assert config.optim.pretrain_steps > 0 < config.optim.steps


def test_the_changed_configuration_changes_every_setting() -> None:
    assert [path for path, value in settings(CHANGED).items() if value == settings(TrainConfig())[path]] == []
    assert CHANGED.check() is CHANGED


@pytest.mark.parametrize("config", [paper(), demo(), CHANGED], ids=["paper", "demo", "everything changed"])
@pytest.mark.parametrize("base", [paper(), demo(), CHANGED], ids=lambda base: f"over {base.recipe}")
def test_toml_round_trip(tmp_path: Path, config: TrainConfig, base: TrainConfig) -> None:
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config))
    unset = {path for path, value in settings(config).items() if value is None}
    expected = {path: settings(base)[path] if path in unset else value for path, value in settings(config).items()}
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


def test_toml_has_a_section_for_every_group() -> None:
    content = tomllib.loads(to_toml(CHANGED))
    assert content.pop("recipe") == "mine"
    assert list(content) == ["images", "model", "cohort", "loss", "optim", "machine", "output"]
    assert content["cohort"]["mixing_matrix"] == [[0.0, 0.5, 0.25], [1.0, 0.0, 0.0], [1e-3, 2.0, 0.0]]
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
    expected = changed("loss.vgg", Path("weights.pth"), changed("optim.lr", 1.0, changed("images.batch", 4, demo())))
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
    assert "sections are [images], [model], [cohort], [loss], [optim], [machine], [output]" in message


def test_a_setting_outside_its_section_is_sent_home(file: Path) -> None:
    message = refused(file, "batch = 4\n")
    assert "'batch'" in message
    assert "it belongs in [images]" in message


def test_an_unknown_setting_is_named_beside_the_known_ones(file: Path) -> None:
    message = refused(file, "[model]\nblokcs = 4\n")
    assert "[model] has no setting 'blokcs'; it has scale, blocks, filters, skip, discriminator_filters" in message


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


@pytest.mark.parametrize("text", ["images = 3\n", "[[images]]\nbatch = 4\n"], ids=["number", "list of tables"])
def test_a_section_that_is_no_section_is_named(file: Path, text: str) -> None:
    message = refused(file, text)
    assert "images" in message
    assert "unknown" not in message  # it is known, and no section here


def test_a_recipe_of_another_type_is_named(file: Path) -> None:
    assert "recipe" in refused(file, "recipe = 3\n")
