"""Exported models: other programs make the same pictures of them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import fastsr
from fastsr.cli.main import main
from fastsr.export import onnx as export
from fastsr.export.onnx import export_onnx
from fastsr.export.spandrel import export_spandrel
from fastsr.models import SPAN, Compact, Generator, MSRResNet, RRDBNet
from fastsr.models.model_file import load_generator, save_generator
from tests.fastsr.inference.conftest import small_generator
from tests.images import random_image

SMALL = {
    "srresnet": lambda: small_generator(4),
    "msrresnet": lambda: MSRResNet(4, blocks=1, filters=4),
    "rrdb": lambda: RRDBNet(4, blocks=1, filters=8),
    "rrdb x2": lambda: RRDBNet(2, blocks=1, filters=8),
    "rrdb of unusual growth": lambda: RRDBNet(4, blocks=1, filters=8, growth=4),
    "compact": lambda: Compact(4, blocks=2, filters=8),
    "span": lambda: SPAN(4, filters=8),
}
BY_ITSELF = ("rrdb", "rrdb x2", "compact", "span")


def small(name: str) -> Generator:
    torch.manual_seed(0)
    return SMALL[name]().eval().requires_grad_(False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small sizes, among them those of a pixel, and odd ones."""
    pytest.importorskip("onnx", reason="onnx comes with the extra `export`")
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra `export`")
    monkeypatch.setattr(export, "SIZES", ((1, 1), (7, 13), (3, 1), (20, 20)))


@pytest.mark.parametrize(
    ("name", "half"), [("srresnet", False), ("rrdb x2", False), ("span", True)]
)
def test_onnx_makes_the_same_pictures(quick: None, tmp_path: Path, name: str, half: bool) -> None:
    import onnx
    import onnxruntime

    file, said = tmp_path / "a.onnx", list[str]()
    found = export_onnx(small(name), file, half=half, notes={"license": "mit"}, tell=said.append)
    assert len(said) == 4 and said[0].startswith("1x1: largest difference to torch ")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    image = torch.rand(2, 3, 9, 5)
    with torch.no_grad():
        want = small(name)(image).clamp(0, 1).numpy()
    got = session.run(["enlarged"], {"image": image.numpy()})[0]
    assert np.abs(got - want).max() <= (2e-2 if half else 1e-4)
    program = onnx.load(file)
    about = {entry.key: entry.value for entry in program.metadata_props}
    assert float(about["max_difference_to_torch"]) == pytest.approx(found, rel=0.01)
    assert (about["precision"], about["license"]) == ("fp16" if half else "fp32", "mit")
    assert about["architecture"] == small(name).architecture.label
    assert "BatchNormalization" not in {node.op_type for node in program.graph.node}
    types = {tensor.data_type for tensor in program.graph.initializer if len(tensor.dims) == 4}
    assert types <= {10, 1} and (10 in types) == half


def test_onnx_that_differs_is_not_written(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LARGEST_DIFFERENCE", {False: -1.0, True: -1.0})
    with pytest.raises(fastsr.UserError, match=r"a.onnx is not written: ONNX and torch differ by"):
        export_onnx(small("compact"), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SMALL)
def test_spandrel_makes_the_same_pictures(tmp_path: Path, name: str) -> None:
    spandrel = pytest.importorskip("spandrel", reason="spandrel comes with the extra `export`")
    file, generator = tmp_path / "a.safetensors", small(name)
    assert export_spandrel(generator, file) <= 1e-4
    loaded = spandrel.ModelLoader(device="cpu").load_from_file(file)
    assert loaded.scale == generator.scale and (loaded.architecture.id == "fastsr") == (
        name not in BY_ITSELF
    )
    image = torch.rand(1, 3, 16, 20)
    with torch.no_grad():
        assert torch.allclose(loaded(image), generator(image).clamp(0, 1), atol=1e-4)
    assert export_spandrel(generator, file, half=True, overwrite=True) <= 2e-2


@pytest.mark.parametrize("name", BY_ITSELF)
def test_spandrels_files_are_ours_again(tmp_path: Path, name: str) -> None:
    pytest.importorskip("spandrel", reason="spandrel comes with the extra `export`")
    export_spandrel(small(name), tmp_path / "a.safetensors")
    image = torch.rand(1, 3, 6, 10)
    again = load_generator(tmp_path / "a.safetensors")
    assert torch.allclose(again(image), small(name)(image), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "id"), [("rrdb", "ESRGAN"), ("compact", "Compact"), ("span", "SPAN")]
)
def test_spandrel_alone_knows_what_others_invented(tmp_path: Path, name: str, id: str) -> None:
    """As spandrel's registry is without fastsr: the entry that `install` made is left out."""
    spandrel = pytest.importorskip("spandrel", reason="spandrel comes with the extra `export`")
    export_spandrel(small(name), tmp_path / "a.safetensors")
    plain = spandrel.ArchRegistry()
    plain.add(
        *(one for one in spandrel.MAIN_REGISTRY.architectures() if one.architecture.id != "fastsr")
    )
    loader = spandrel.ModelLoader(device="cpu", registry=plain)
    assert loader.load_from_file(tmp_path / "a.safetensors").architecture.id == id


def test_the_command(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_generator(small("compact"), tmp_path / "mine.safetensors")
    words = ["export", "mine.safetensors", "--format", "onnx"]
    assert main(words) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("mine-x4.onnx: 0.0 MB, largest difference to torch ")
    assert main(words) == 2
    assert "--out mine-x4.onnx exists already; add --overwrite" in capsys.readouterr().err
    assert main(["export", "mine.safetensors", "--format", "spandrel", "--half"]) == 0
    assert Path("mine-x4-fp16-spandrel.safetensors").is_file()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("form", ["onnx", "spandrel"])
def test_a_missing_extra_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save_generator(small("compact"), tmp_path / "mine.safetensors")
    monkeypatch.setitem(sys.modules, form, None)  # as where it is not installed
    assert main(["export", "mine.safetensors", "--format", form]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "pip install 'fastsr[export]'" in err


def test_the_comfyui_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("spandrel", reason="spandrel comes with the extra `export`")
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "examples")
    from comfyui_fastsr import NODE_CLASS_MAPPINGS

    save_generator(small("compact"), tmp_path / "mine.safetensors")
    node = NODE_CLASS_MAPPINGS["FastsrUpscale"]
    image = torch.from_numpy(random_image(6, 9)).float()[None] / 255
    (large,) = getattr(node(), node.FUNCTION)(image, str(tmp_path / "mine.safetensors"))
    want = fastsr.load(tmp_path / "mine.safetensors")(image.permute(0, 3, 1, 2))
    assert torch.equal(large, want.permute(0, 2, 3, 1))
    assert set(node.INPUT_TYPES()["required"]) == {"image", "model"}
