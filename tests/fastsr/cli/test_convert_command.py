"""`fastsr convert`: generators of other projects as files of ours."""

from pathlib import Path

import pytest
import torch

from fastsr.models.architecture import CompactArchitecture
from fastsr.models.model_file import load_generator, read_model
from fastsr.models.networks import build_generator
from tests.fastsr.cli.command_line import Fastsr, assert_one_line


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    generator = build_generator(CompactArchitecture(scale=2, blocks=1, filters=4))
    torch.save({"params": generator.state_dict()}, tmp_path / "theirs.pth")
    return tmp_path / "theirs.pth"


def test_a_file_of_others_becomes_ours(fastsr: Fastsr, foreign: Path) -> None:
    outcome = fastsr("convert", foreign)
    ours = foreign.with_suffix(".safetensors")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"Real-ESRGAN: Compact, scale 2, blocks 1, filters 4\n{ours}\n"
    model = read_model(ours)
    assert (model.layout, model.notes) == ("fastsr", {"converted_from": "Real-ESRGAN"})
    x = torch.rand(1, 3, 5, 6)
    assert torch.equal(load_generator(ours)(x), load_generator(foreign)(x))


def test_nothing_is_replaced_unless_asked(fastsr: Fastsr, foreign: Path, tmp_path: Path) -> None:
    target = tmp_path / "models" / "mine.safetensors"
    assert fastsr("convert", foreign, "--out", target).code == 0
    before = target.read_bytes()
    assert_one_line(fastsr("convert", foreign, "--out", target), target, "add --overwrite")
    itself = fastsr("convert", foreign, "--out", foreign, "--overwrite")
    assert_one_line(itself, "would be written over itself; give another --out")
    assert target.read_bytes() == before
    assert fastsr("convert", foreign, "--out", target, "--overwrite").code == 0


def test_what_is_no_generator_is_refused_and_nothing_is_left(
    fastsr: Fastsr, foreign: Path, tmp_path: Path
) -> None:
    torch.save({"fc.weight": torch.zeros(2)}, foreign)
    assert_one_line(fastsr("convert", foreign), foreign, "holds no generator that is known")
    assert_one_line(fastsr("convert", tmp_path / "none.pth"), "none.pth does not exist")
    foreign.unlink()
    assert list(tmp_path.iterdir()) == []
