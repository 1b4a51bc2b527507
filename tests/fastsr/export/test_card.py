"""Model cards, and models pushed to a hub and loaded from it."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastsr
from fastsr.cli.export import default_name
from fastsr.cli.main import main
from fastsr.config.degrade import DegradeConfig
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml, to_toml
from fastsr.download.hub import is_hub_name
from fastsr.errors import UserError
from fastsr.evaluation.results import Evaluation
from fastsr.export.hub import push
from fastsr.facts import read_facts
from tests.fastsr.export.hub_server import Hub, serving_hub
from tests.images import random_image


def card_of(run: Path, *words: str) -> str:
    assert main(["card", str(run), *words]) == 0
    return (run / "card/README.md").read_text()


def test_a_card_says_what_the_run_says(run: Path) -> None:
    card = card_of(run, "--peer", "1", "--license", "apache-2.0", "--name", "me/mine")
    evaluation = Evaluation.read(run / "evaluation/evaluation.json")
    means = evaluation.means["holiday"]["peer 1"]
    assert f"| holiday (2) | **peer 1 (ML)** | {means['psnr']:.4g} | {means['ssim']:.4g} |" in card
    assert card.startswith("---\nlicense: apache-2.0\n") and "\n- x2\n---\n\n# me/mine\n" in card
    assert "Peer 1 of a cohort of 2 SRGANs, whose discriminators taught each other (ML)" in card
    assert all(f"- {about}: {text}" in card for about, text in evaluation.protocol.items())
    assert 'fastsr.load("me/mine")' in card and "| images | photos |" in card
    assert str(run.parent) not in card and "secret" not in card


@pytest.mark.parametrize(
    ("degrade", "text", "limits"),
    [
        ("bicubic", "low resolution by MATLAB's bicubic", "noise and compression are enlarged"),
        ("light", "low resolution by blind degradations (light)", "Images unlike those"),
    ],
)
def test_a_card_says_what_low_resolution_was(
    run: Path, degrade: str, text: str, limits: str
) -> None:
    file = run / "config.toml"
    config = replace(from_toml(file, TrainConfig()), degrade=DegradeConfig(degrade=degrade))
    file.write_text(to_toml(config))
    card = card_of(run)
    assert text in card and limits in card


def test_pictures_of_a_card_are_beside_it(run: Path) -> None:
    named = re.findall(r"!\[(.*?)\]\((.*?)\)", card_of(run))
    assert {method for method, _ in named} == {"bicubic", "peer 0", "HR"} and len(named) == 6
    assert all((run / "card" / file).is_file() for _, file in named)


def test_pictures_outside_the_evaluation_are_not_published(run: Path) -> None:
    """Somebody else's run may claim that any file is a picture of it."""
    (run.parent / "private.png").write_bytes(b"secret")
    file = run / "evaluation/evaluation.json"
    content = json.loads(file.read_text())
    content["pictures"][0]["files"]["bicubic"] = "../../private.png"
    file.write_text(json.dumps(content))
    card_of(run)
    copies = [path.read_bytes() for path in (run / "card/pictures").iterdir()]
    assert len(copies) == 5 and b"secret" not in copies


def test_a_dot_in_a_runs_name_is_no_ending(run: Path) -> None:
    renamed = run.rename(run.with_name("lr-0.5"))
    assert "\n# lr-0.5\n" in card_of(renamed)
    assert str(default_name(str(renamed), 2, "onnx", True)) == "lr-0.5-x2-fp16.onnx"


def test_a_hub_that_cannot_be_reached_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub comes with the extra `hub`")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_stand_in")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(UserError, match=r"^me/mine cannot be published \(.*refused.*\)$"):
        push(tmp_path, "me/mine")


def test_a_card_of_a_file_alone(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = run / "checkpoints/step-00000003/peer-0-ema.safetensors"
    assert main(["card", str(file)]) == 0
    card = Path("card/README.md").read_text()
    assert "# peer-0-ema\n\nEnlarges images 2 times in height and width: SRResNet" in card
    assert "## Scores" not in card and "No license is stated." in card


def test_files_say_how_they_were_trained(run: Path) -> None:
    facts = read_facts(run / "checkpoints/step-00000003/peer-1-ema.safetensors")
    assert (facts.architecture, facts.scale, facts.channels) == ("fastsr.SRResNet", 2, 3)
    training = json.loads(facts.about["training"])
    assert (training["peer"], training["step"], training["variant"]) == (1, 3, "ML")
    assert training["images"] == ["photos"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is damaged"), (b"\x05\0\0\0\0\0\0\0[1,2]", "is damaged"), (b"\xff" * 20, "is damaged")],
)
def test_facts_of_what_is_no_model(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises(fastsr.UserError, match=message):
        read_facts(file)
    with pytest.raises(fastsr.UserError, match="does not exist"):
        read_facts(tmp_path / "gone")


@pytest.mark.parametrize(
    ("name", "is_name"),
    [("me/my-model.x4", True), ("me/mine@v1", True), ("runs/a/b", False), ("mine", False), ("a/b.safetensors", False)],
)  # fmt: skip
def test_names_on_the_hub(name: str, is_name: bool) -> None:
    assert is_hub_name(name) == is_name


def in_a_process(hub: Hub, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs python with the stand-in as the hub, which huggingface_hub settles on when it is imported."""
    environment = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
    environment |= {
        "HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_TOKEN": "hf_stand_in", "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)


LOAD = """
import sys, numpy, fastsr
from fastsr.cli.main import main
upscaler = fastsr.load("me/mine")
numpy.save(sys.argv[1], upscaler(numpy.load(sys.argv[1])))
print(upscaler.info.about["license"], "training" in upscaler.info.about)
for name in ("me/gone", "me/empty"):
    try:
        fastsr.load(name)
    except fastsr.UserError as error:
        print(error)
sys.exit(main(["push", sys.argv[2], "me/forbidden"]))
"""


def test_a_model_that_is_pushed_can_be_loaded(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub comes with the extra `hub`")
    photo = random_image(10, 13)
    np.save(tmp_path / "photo.npy", photo)
    with serving_hub() as hub:
        words = ("-m", "fastsr", "push", str(run), "me/mine", "--peer", "1", "--license", "mit")
        pushed = in_a_process(hub, tmp_path / "hf", *words)
        assert (pushed.returncode, pushed.stderr) == (0, ""), pushed
        assert pushed.stdout == f"{hub.address}/me/mine\n"
        files = hub.files["me/mine"]
        assert {"README.md", "model.safetensors"} < set(files) and b"# me/mine" in files[
            "README.md"
        ]
        hub.files["me/empty"] = {}
        words = ("-c", LOAD, str(tmp_path / "photo.npy"), str(run))
        loaded = in_a_process(hub, tmp_path / "hf", *words)
    first, gone, empty = loaded.stdout.splitlines()
    assert first == "mit True"
    assert gone.startswith("me/gone does not exist, here or on the Hugging Face hub")
    assert empty == "me/empty on the Hugging Face hub has no model.safetensors"
    want = fastsr.load(run, device="cpu", peer=1)(photo)
    assert np.array_equal(np.load(tmp_path / "photo.npy"), want)
    assert loaded.returncode == 2 and loaded.stderr.count("\n") == 1
    assert "run `hf auth login`" in loaded.stderr
