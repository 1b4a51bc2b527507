"""`fastsr train --vgg`: files that hold no weights of VGG19."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fastsr.cli.command_line import (
    TINY,
    Fastsr,
    assert_one_line,
    write_nothing,
    write_text,
)


def write_cut_archive(file: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, file)
    os.truncate(file, file.stat().st_size // 2)


def write_tensor(file: Path) -> None:
    torch.save(torch.zeros(3), file)


def write_other_weights(file: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, file)


def write_other_shapes(file: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(3)}, file)


def write_numbers(file: Path) -> None:
    torch.save({"features.0.weight": 3}, file)


@pytest.mark.parametrize("name", ["vgg.pth", "vgg.safetensors"])
@pytest.mark.parametrize(
    "write",
    [
        write_text,
        write_nothing,
        write_cut_archive,
        write_tensor,
        write_other_weights,
        write_other_shapes,
        write_numbers,
    ],
    ids=["text", "empty", "cut", "tensor", "other weights", "other shapes", "numbers"],
)
def test_vgg_weights_that_are_none(
    fastsr: Fastsr, data: Path, tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    outcome = fastsr(
        "train",
        "--data",
        data,
        *TINY,
        "--content",
        "vgg22",
        "--vgg",
        tmp_path / name,
        "--out",
        "run",
    )
    assert_one_line(outcome, tmp_path / name, "pass --vgg FILE", "--content pixel")
    assert not Path("run").exists()


def test_missing_vgg_weights(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("train", "--data", data, *TINY, "--content", "vgg54", "--vgg", "gone.pth")
    assert_one_line(outcome, "--vgg gone.pth does not exist", "--content pixel")


class Mischief:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("archive", [False, True], ids=["pickle", "archive of torch"])
def test_code_in_a_weight_file_is_not_run(
    fastsr: Fastsr, data: Path, tmp_path: Path, archive: bool
) -> None:
    weights, folder = tmp_path / "vgg.pth", tmp_path / "made"
    if archive:
        torch.save({"features.0.weight": Mischief(folder)}, weights)
        torch.load(weights, weights_only=False)
    else:
        weights.write_bytes(pickle.dumps(Mischief(folder), protocol=2))
        pickle.loads(weights.read_bytes())
    folder.rmdir()  # it was made: the file does run code where it is let to
    outcome = fastsr("train", "--data", data, *TINY, "--content", "vgg22", "--vgg", weights)
    assert_one_line(outcome, f"--vgg {weights} cannot be read as weights (it holds more than")
    assert "weights_only" not in outcome.err  # torch's advice on how to run the code
    assert not folder.exists()


def test_vgg_weights_without_a_network(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("train", "--data", data, *TINY, "--content", "vgg54", "--out", "run")
    assert outcome.code == 2
    last = outcome.err.splitlines()[-1]
    assert last.startswith("fastsr: the VGG19 weights cannot be fetched (")
    assert all(
        remedy in last
        for remedy in ("pass --vgg FILE", "connect to the network", "--content pixel")
    )
    assert not Path("run").exists()


def test_damaged_vgg_weights_in_the_cache_of_torch(
    fastsr: Fastsr, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "torch/hub/checkpoints/vgg19-dcbb9e9d.pth"
    file.parent.mkdir(parents=True)
    file.write_text("half a download")
    assert_one_line(fastsr("train", "--data", data, *TINY, "--content", "vgg54"), file)
