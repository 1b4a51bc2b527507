"""What checkpoints say of themselves, and what people make of that."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fastsr.checkpoints import list_checkpoints
from fastsr.config.networks import PeerConfig
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.errors import UserError
from fastsr.models.weights import find_generators
from fastsr.training.checkpoint import load_checkpoint, save_checkpoint
from fastsr.training.run import Run
from fastsr.training.state import SCALER, edited_settings, lasting_settings, read_state
from tests.fastsr.config.configurations import changed
from tests.fastsr.training.trained import trained
from tests.permissions import as_nobody, common_folder


@pytest.fixture
def saved(tiny_config: TrainConfig, store: PixelStore) -> Path:
    """A checkpoint of step 1."""
    cohort, ring, _ = trained(tiny_config, store, 1)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    checkpoint = save_checkpoint(run, cohort, ring, "", keep=3)
    run.close()
    return checkpoint


def state(**values: Any) -> Callable[[Path], None]:
    """Changes entries of state.json."""

    def change(checkpoint: Path) -> None:
        file = checkpoint / "state.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return change


def ring(**tensors: torch.Tensor) -> Callable[[Path], None]:
    return lambda checkpoint: save_file(tensors, checkpoint / "metrics-ring.safetensors")


def pipe(checkpoint: Path) -> None:
    (checkpoint / "state.json").unlink()
    os.mkfifo(checkpoint / "state.json")


EMPTY: dict[str, Any] = {"generator": {}, "discriminator": {}}
PARTIAL = {"generator": {"scale": 1.0}, "discriminator": {}}
ODD = {**EMPTY, "generator": dict.fromkeys(sorted(SCALER), "x")}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (state(step=10**30), "state.json is damaged (step 1000000000000000000000000000000 is"),
        (state(step=-1), "step -1 is not that of"),
        (state(step=2), "step 2 is not that of"),
        (state(step="1"), "step '1' is not that of"),
        (state(step=True), "step True is not that of"),
        (state(scalers=5), "state.json is damaged ('int' object is not iterable)"),
        (state(scalers=[]), "scalers of 0 peers, not 2"),
        (state(scalers=[EMPTY]), "scalers of 1 peers, not 2"),
        (state(scalers=[5, 5]), "state.json is damaged"),
        (state(scalers=[{}, {}]), "state.json is damaged ('generator')"),
        (state(scalers=[PARTIAL, EMPTY]), "scalers have scale"),
        (state(scalers=[ODD, EMPTY]), "scalers hold what is no number"),
        (state(content_weight="much"), "state.json is damaged"),
        (state(content_weight=float("nan")), "content_weight is nan"),
        (lambda c: (c / "state.json").write_text("[]"), "state.json is damaged"),
        (lambda c: (c / "state.json").write_text("[" * 100_000), "state.json is damaged"),
        (lambda c: (c / "state.json").write_bytes(b"\xff\xfe"), "state.json is damaged"),
        (pipe, "state.json is damaged"),
        (ring(rows=torch.zeros(3, 2, 6)), "metrics-ring.safetensors does not fit the run"),
        (ring(rows=torch.zeros(())), "metrics-ring.safetensors does not fit the run"),
        (ring(lines=torch.zeros(2)), "metrics-ring.safetensors does not fit the run"),
    ],
)  # fmt: skip
def test_damage_is_named_with_what_to_do(
    saved: Path, tiny_config: TrainConfig, store: PixelStore, damage: Callable[[Path], object], words: str
) -> None:  # fmt: skip
    forget_sums(saved)
    damage(saved)
    cohort, rows, _ = trained(tiny_config, store, 0)
    with pytest.raises(UserError) as caught:
        load_checkpoint(Run(saved.parent.parent), cohort, rows, "")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).endswith("; no older checkpoint is left: start a new run")


def forget_sums(saved: Path) -> None:
    """Makes a checkpoint one from before there were checksums, which would notice any damage first."""
    state = json.loads((saved / "state.json").read_text())
    del state["sha256"], state["checksum"]
    (saved / "state.json").write_text(json.dumps(state))


def test_a_sound_checkpoint_reads(saved: Path) -> None:
    assert (read_state(saved, 2).step, read_state(saved, 2).scalers) == (1, [EMPTY, EMPTY])


@pytest.mark.parametrize("number", [0, 1])
def test_what_is_not_ours_in_a_run_is_left_alone(saved: Path, number: int) -> None:
    """Files and folders whose names only look like ours; a peer that was lost is missed."""
    run = saved.parent.parent
    (saved.parent / "step-foo").mkdir()
    (saved.parent / "step-00000009").write_text("a file")
    (saved / "peer-x-ema.safetensors").write_text("")
    assert list_checkpoints(run) == [saved]
    assert list(find_generators(run)) == ["peer 0", "peer 1"]
    (saved / f"peer-{number}-ema.safetensors").unlink()
    if number == 1:
        assert list(find_generators(run)) == ["peer 0"]
        return
    with pytest.raises(UserError, match=r"has lost peer-0-ema\.safetensors"):
        find_generators(run)


def test_checkpoints_beyond_eight_digits_are_in_order(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000):
        (tmp_path / f"checkpoints/step-{step:08d}").mkdir(parents=True)
    assert list_checkpoints(tmp_path)[-1].name == "step-100000000"


def test_checkpoints_that_cannot_be_read_are_not_taken_for_none() -> None:
    with common_folder() as folder:
        (folder / "checkpoints").mkdir(mode=0)
        with as_nobody(), pytest.raises(UserError, match="checkpoints cannot be read"):
            list_checkpoints(folder)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("model.blocks", 3, "blocks is 3, and step-00000001 was trained with 1"),
        ("model.filters", 5, "filters is 5, and step-00000001 was trained with 4"),
        ("model.discriminator_filters", 3, "discriminator_filters is 3"),
        ("model.skip", "bicubic", "skip is bicubic, and step-00000001 was trained with none"),
        ("images.patch", 32, "patch is 32"),
        ("cohort.peers", 3, "peers is 3"),
        ("output.log_every", 7, "log_every is 7"),
    ],
)
def test_an_edited_setting_that_does_not_fit_the_weights_is_named(
    saved: Path, tiny_config: TrainConfig, path: str, value: Any, words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        edited_settings(saved, changed(path, value, tiny_config))
    assert "set it back" in str(caught.value) and "delete" not in str(caught.value)


def test_other_edited_settings_are_said(saved: Path, tiny_config: TrainConfig) -> None:
    assert edited_settings(saved, tiny_config) == []
    assert edited_settings(saved, changed("optim.steps", 99, tiny_config)) == []
    (line,) = edited_settings(saved, changed("optim.lr", 0.5, tiny_config))
    assert line.endswith("lr was 0.001 until step-00000001, and is 0.5 from now on")
    (line,) = edited_settings(saved, changed("optim.lr_milestones", (5, 6), tiny_config))
    assert "lr_milestones was [] until" in line
    assert edited_settings(saved, changed("degrade.context", 16, tiny_config)) == [], "no effect"


def test_edited_settings_of_one_peer_are_said_by_themselves(
    saved: Path, tiny_config: TrainConfig
) -> None:
    def of_peers(first: PeerConfig) -> TrainConfig:
        return changed("cohort.peer", (first, PeerConfig()), tiny_config)

    state(settings=lasting_settings(of_peers(PeerConfig(lr=1e-4))))(saved)
    (line,) = edited_settings(saved, of_peers(PeerConfig(lr=2e-4)))
    assert line.endswith("lr of peer 0 was 0.0001 until step-00000001, and is 0.0002 from now on")
    with pytest.raises(
        UserError, match="blocks of peer 0 is 7, and step-00000001 was trained with None"
    ):
        edited_settings(saved, of_peers(PeerConfig(lr=1e-4, blocks=7)))
    with pytest.raises(UserError, match=r"peer is \[\], and step-00000001"):
        edited_settings(saved, tiny_config)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (b"\x00\xff\xfe\x80" * 100, []),
        (b'3\n"x"\nnull\n[]\n[1]\n{}\n{"kind": "train"}\n', []),
        (b'{"step": "1"}\n{"step": 1.5}\n{"step": true}\n{"step": 7}\n', [7]),
        (b"[" * 100_000 + b'\n{"step": 8}\n', [8]),
    ],
    ids=["binary", "no rows", "odd steps", "deep"],
)
def test_rows_without_a_step_are_left_out(tmp_path: Path, text: bytes, steps: list[int]) -> None:
    run = Run(tmp_path)
    run.metrics_file.write_bytes(text)
    assert [row["step"] for row in run.read_metrics()] == steps
    run.cut_metrics(100)
    assert len(run.metrics_file.read_text().splitlines()) == len(steps)


@pytest.mark.parametrize(
    "name", [".lock", "config.toml", "metrics.jsonl", "tensorboard", "pictures", "checkpoints"]
)
def test_the_wrong_kind_of_file_is_named(
    tmp_path: Path, tiny_config: TrainConfig, name: str
) -> None:
    place = tmp_path / "run" / name
    place.parent.mkdir()
    _ = place.mkdir() if "." in name else place.write_text("")
    with pytest.raises(UserError, match=rf"{place} is no (folder|regular file); remove it"):
        Run.start(place.parent, tiny_config)
    assert list(place.parent.iterdir()) == [place]


def test_a_folder_whose_name_cannot_be_kept_is_refused_before_it_is_made(
    tmp_path: Path, tiny_config: TrainConfig
) -> None:
    out = tmp_path / os.fsdecode(b"run\xff")
    config = replace(tiny_config, output=replace(tiny_config.output, out=out))
    with pytest.raises(UserError, match=r"run\\udcff is not UTF-8"):
        Run.start(out, config)
    assert not out.exists()
