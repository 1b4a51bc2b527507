"""Training from weights of files, discriminators that learn alone first, and cohorts of different networks, whole."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from fastsr.config.networks import PeerConfig
from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.evaluation.candidates import open_models
from fastsr.models import UNetDiscriminator
from fastsr.models.architecture import RRDBArchitecture
from fastsr.models.model_file import load_generator
from fastsr.models.networks import build_generator
from fastsr.models.weights import find_generators
from fastsr.report.page import write_report
from fastsr.training.run import resume_config
from fastsr.training.train import train
from tests.images import random_image

RRDB = RRDBArchitecture(scale=2, blocks=1, filters=4, growth=2, unshuffle=2)


@pytest.fixture
def config(tiny_config: TrainConfig, tmp_path: Path) -> TrainConfig:
    """An RRDB and a U-Net of files in BasicSR's layout; discriminators learn alone for two steps."""
    images = tmp_path / "images"
    images.mkdir()
    for k in range(3):
        Image.fromarray(random_image(50 + k, 60 - k, k)).save(images / f"{k}.png")
    torch.manual_seed(7)
    torch.save({"params_ema": build_generator(RRDB).state_dict()}, tmp_path / "g.pth")
    for name in ("d", "e"):
        torch.save({"params": UNetDiscriminator(2).state_dict()}, tmp_path / f"{name}.pth")
    return replace(
        tiny_config,
        images=replace(tiny_config.images, data=(images,), val=(images,), patch=32),
        model=replace(
            tiny_config.model, generator="rrdb", growth=2, discriminator="unet",
            init_generator=(tmp_path / "g.pth",), init_discriminator=(tmp_path / "d.pth", tmp_path / "e.pth"),
        ),
        optim=replace(tiny_config.optim, pretrain_steps=0, warm_discriminator=2, steps=2),
        output=replace(tiny_config.output, log_every=1, save_every=2, val_every=4, keep=9),
    )  # fmt: skip


def quiet() -> Console:
    return Console(quiet=True)


def tensors(run: Path, step: int) -> dict[str, Tensor]:
    return {
        f"{file.name}/{name}": value
        for file in sorted((run / "checkpoints" / f"step-{step:08d}").glob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def test_files_are_the_start_and_a_resumed_run_is_the_same(
    config: TrainConfig, tmp_path: Path
) -> None:
    """After two steps of D alone, generators are those of the file bit for bit, D and its singular vectors not. A run
    that goes on from there ends with every tensor as one that was not interrupted."""
    train(config, quiet())
    run = tmp_path / "run"
    began, start = tensors(run, 2), torch.load(tmp_path / "g.pth")["params_ema"]
    for k in range(2):
        for kind in ("generator", "ema"):
            for name, value in start.items():
                assert torch.equal(began[f"peer-{k}-{kind}.safetensors/{name}"], value)
    d = torch.load(tmp_path / "d.pth")["params"]
    assert not torch.equal(
        began["peer-0-discriminator.safetensors/conv3.weight_u"], d["conv3.weight_u"]
    )
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows if row["kind"] == "train"] == ["warming"] * 2 + [
        "training"
    ] * 2
    assert set(rows[0]["peers"][0]) == {
        "bce_real", "bce_fake", "kl_real", "kl_fake", "d_prob_real", "d_prob_fake"
    }  # fmt: skip
    whole = tensors(run, 4)
    (tmp_path / "g.pth").unlink()  # a run that is continued needs no file that it began with
    resumed = resume_config(run, config)
    output = replace(resumed.output, out=run, resume=True, resume_from="step-00000002")
    train(replace(resumed, output=output), quiet())
    again = tensors(run, 4)
    assert again.keys() == whole.keys()
    assert [name for name in whole if not torch.equal(whole[name], again[name])] == []


def test_different_networks_train_evaluate_and_are_reported(
    config: TrainConfig, tmp_path: Path
) -> None:
    peers = (
        PeerConfig(lr=2e-4, init_generator=tmp_path / "g.pth"),
        PeerConfig(generator="span", discriminator="patch", content_weight=0.5),
    )
    model = replace(config.model, init_generator=(), init_discriminator=())
    cohort = replace(config.cohort, peer=peers, exchange="mean")
    run = train(replace(config, model=model, cohort=cohort), quiet()).folder
    files = find_generators(run)
    x = torch.rand(1, 3, 9, 7)
    kinds = [type(load_generator(file)).__name__ for file in files.values()]
    assert kinds == ["RRDBNet", "SPAN"]
    assert load_generator(files["peer 1"])(x).shape == (1, 3, 18, 14)
    assert resume_config(run, config).cohort.peer[1] == peers[1]
    page = write_report((run,), tmp_path / "report.html").read_text()
    assert (
        "peer 0: rrdb, 1 block of 4 filters, unet discriminator; peer 1: span of 4 filters" in page
    )
    assert len(open_models((run,), ("ema",), torch.device("cpu"))) == 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"blocks": 2}, "--scale 2 --generator rrdb --blocks 1 --filters 4 --growth 2"),
        ({"generator": "span"}, "holds RRDBNet, .* and the settings mean SPAN"),
        (
            {"discriminator_filters": 3},
            "d.pth is not the discriminator of the settings: of another",
        ),
        ({"discriminator": "vgg"}, "d.pth is not the discriminator of the settings: missing: "),
        ({"init_discriminator": (Path("d.pth"),)}, "peers 0 and 1 would start from the same files"),
        ({"init_generator": (Path("none.pth"),)}, "none.pth does not exist"),
        ({"init_generator": (Path("a"),) * 3}, "--init-generator has 3 files; give one for all"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    config: TrainConfig, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(replace(config, model=replace(config.model, **model)), quiet())
    assert not (config.output.out or Path()).exists()
