"""Weights of other projects: recognised by names and shapes, loaded whole or refused with what did not fit."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import prelu

from fastsr.errors import UserError
from fastsr.models import SRResNet
from fastsr.models.architecture import RRDBArchitecture, SRResNetArchitecture, header_of
from fastsr.models.model_file import load_generator, read_model, save_generator
from fastsr.models.networks import build_generator
from tests.fastsr.models.test_networks import ARCHITECTURES, error, random_generator

X = torch.rand(1, 3, 6, 7)
FOREIGN = [name for name in ARCHITECTURES if not name.startswith("srresnet")]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_our_files_come_back_with_their_notes(name: str, tmp_path: Path) -> None:
    generator, file = random_generator(name), tmp_path / "g.safetensors"
    save_generator(generator, file, {"license": "Apache-2.0", "training": '{"steps": 3}'})
    model = read_model(file)
    assert model.notes == {"license": "Apache-2.0", "training": '{"steps": 3}'}
    assert (model.architecture, model.layout) == (generator.architecture, "fastsr")
    assert error(load_generator(file)(X), generator(X)) < 1e-6


@pytest.mark.parametrize("container", ["bare", "params", "params_ema", "state_dict", "module"])
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_recognised(name: str, container: str, tmp_path: Path) -> None:
    generator = random_generator(name)
    weights = dict(generator.state_dict())
    content = {
        "bare": weights,
        "params": {"params": weights},
        "params_ema": {"params": random_generator(name, seed=1).state_dict(), "params_ema": weights},
        "state_dict": {"epoch": 3, "state_dict": weights, "optimizer": {"lr": 0.1}},
        "module": {f"module.{key}": value for key, value in weights.items()},
    }[container]  # fmt: skip
    torch.save(content, tmp_path / "g.pth")
    assert read_model(tmp_path / "g.pth").architecture == generator.architecture
    assert error(load_generator(tmp_path / "g.pth")(X), generator(X)) < 1e-6
    if container == "bare":
        save_file(weights, tmp_path / "g.safetensors")
        assert error(load_generator(tmp_path / "g.safetensors")(X), generator(X)) < 1e-6


def first_esrgan(weights: dict[str, Tensor], blocks: int, doublings: int) -> dict[str, Tensor]:
    """Under the names of ESRGAN's first code, which are places in sequences."""
    last = 3 * doublings + 4
    ends = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}"}
    ends |= {"conv_hr": f"model.{last - 2}", "conv_last": f"model.{last}"}
    ends |= {f"conv_up{k}": f"model.{3 * k}" for k in range(1, doublings + 1)}
    renamed = {}
    for key, value in weights.items():
        base, kind = key.rsplit(".", 1)
        within = re.fullmatch(r"body\.(\d+)\.rdb(\d)\.conv(\d)", base)
        place = (
            f"model.1.sub.{within[1]}.RDB{within[2]}.conv{within[3]}.0" if within else ends[base]
        )
        renamed[f"{place}.{kind}"] = value
    return renamed


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_the_first_esrgan_is_recognised(scale: int, tmp_path: Path) -> None:
    """spandrel takes the renamed weights for the same network: the places are right."""
    torch.manual_seed(0)
    generator = build_generator(
        RRDBArchitecture(scale=scale, blocks=2, filters=8, unshuffle=1)
    ).eval()
    doublings = {1: 0, 2: 1, 4: 2, 8: 3}[scale]
    old = first_esrgan(dict(generator.state_dict()), 2, doublings)
    torch.save(old, tmp_path / "old.pth")
    assert error(load_generator(tmp_path / "old.pth")(X), generator(X)) < 1e-6
    spandrel = pytest.importorskip("spandrel", reason="the extra `export` is not installed")
    theirs = spandrel.ModelLoader().load_from_state_dict(old)
    torch.testing.assert_close(theirs.model.eval()(X), generator(X), rtol=0, atol=1e-6)


def test_the_second_esrgan_is_recognised(tmp_path: Path) -> None:
    generator = random_generator("rrdb x4")
    names = (
        (r"^body\.", "RRDB_trunk."), (r"rdb", "RDB"), (r"^conv_body", "trunk_conv"), (r"^conv_up", "upconv"),
        (r"^conv_hr", "HRconv"),
    )  # fmt: skip
    renamed = {}
    for key, value in generator.state_dict().items():
        for ours, theirs in names:
            key = re.sub(ours, theirs, key)
        renamed[key] = value
    torch.save(renamed, tmp_path / "g.pth")
    assert error(load_generator(tmp_path / "g.pth")(X), generator(X)) < 1e-6


class SingleSlope(nn.Module):
    """Our SRResNet as two SRGAN repositories have it: a slope for all channels, perhaps biases before BN."""

    def __init__(self, biases: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network, self.biases = (
            SRResNet(4, 2, 8, output="tanh" if biases else "linear").eval(),
            biases,
        )
        for name, module in self.network.named_modules():
            if isinstance(module, nn.PReLU):
                module.weight = nn.Parameter(torch.rand(1))
                module.forward = lambda x, m=module: prelu(x, m.weight)
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 1)
            if biases and isinstance(module, nn.Conv2d) and module.bias is None:
                module.bias = nn.Parameter(torch.rand(module.out_channels))
                assert "conv" in name

    def named(self, names: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
        renamed = {}
        for key, value in self.network.state_dict().items():
            for pattern, theirs in names:
                key = re.sub(pattern, theirs, key)
            renamed[key] = value
        return renamed


TRUNK = (
    (r"^input_conv", "conv1.0"), (r"^input_activation", "conv1.1"), (r"^trunk_conv", "conv2.0"),
    (r"^trunk_norm", "conv2.1"), (r"^output_conv", "conv3"),
    (r"^upsamplers\.(\d)\.conv", r"upsampling.\1.upsample_block.0"),
    (r"^upsamplers\.(\d)\.activation", r"upsampling.\1.upsample_block.2"),
    (r"^blocks\.(\d)\.conv1", r"trunk.\1.rcb.0"), (r"^blocks\.(\d)\.norm1", r"trunk.\1.rcb.1"),
    (r"^blocks\.(\d)\.activation", r"trunk.\1.rcb.2"), (r"^blocks\.(\d)\.conv2", r"trunk.\1.rcb.3"),
    (r"^blocks\.(\d)\.norm2", r"trunk.\1.rcb.4"),
)  # fmt: skip
BLOCKS = (
    (r"^input_conv", "block1.0"), (r"^input_activation", "block1.1"),
    *((rf"^blocks\.{k}\.conv", f"block{k + 2}.conv") for k in (0, 1)),
    *((rf"^blocks\.{k}\.norm", f"block{k + 2}.bn") for k in (0, 1)),
    *((rf"^blocks\.{k}\.activation", f"block{k + 2}.prelu") for k in (0, 1)),
    (r"^trunk_conv", "block4.0"), (r"^trunk_norm", "block4.1"), (r"^output_conv", "block5.2"),
    (r"^upsamplers\.(\d)\.conv", r"block5.\1.conv"), (r"^upsamplers\.(\d)\.activation", r"block5.\1.prelu"),
)  # fmt: skip


@pytest.mark.parametrize("biases", [False, True], ids=["trunk.N.rcb", "blockN"])
def test_srresnets_of_others_become_ours(biases: bool, tmp_path: Path) -> None:
    theirs = SingleSlope(biases)
    torch.save(theirs.named(BLOCKS if biases else TRUNK), tmp_path / "g.pth")
    ours = load_generator(tmp_path / "g.pth")
    torch.testing.assert_close(ours(X), theirs.network(X), rtol=0, atol=1e-6)
    assert isinstance(ours, SRResNet) and ours.output == ("tanh" if biases else "linear")


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    weights = dict(random_generator("rrdb x4").state_dict())
    del weights["body.0.rdb2.conv3.bias"]
    weights["conv_hr.weight"], weights["extra"] = torch.zeros(9, 8, 3, 3), torch.zeros(1)
    torch.save(weights, tmp_path / "g.pth")
    with pytest.raises(UserError, match=r"g\.pth does not fit RRDBNet, scale 4") as raised:
        load_generator(tmp_path / "g.pth")
    for text in (
        "missing: body.0.rdb2.conv3.bias", "not known: extra",
        "of another shape: conv_hr.weight [9, 8, 3, 3] instead of [8, 8, 3, 3]",
    ):  # fmt: skip
        assert text in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv_first.weight": torch.zeros(8, 1, 3, 3)}, "1 input channels are not those of RGB"),
        (
            {"conv_last.bias": torch.tensor([0.0, float("nan"), 0.0])},
            "conv_last.bias is not finite",
        ),
    ],
)
def test_other_colours_and_nan_are_refused(
    change: dict[str, Tensor], message: str, tmp_path: Path
) -> None:
    torch.save({**random_generator("rrdb x4").state_dict(), **change}, tmp_path / "g.pth")
    with pytest.raises(UserError, match=message):
        load_generator(tmp_path / "g.pth")


def test_unknown_weights_and_no_weights_are_refused(tmp_path: Path) -> None:
    for content in ({"fc.weight": torch.zeros(2)}, {}, [1, 2], 3):
        torch.save(content, tmp_path / "g.pth")
        with pytest.raises(UserError, match=r"g\.pth holds no generator that is known"):
            load_generator(tmp_path / "g.pth")
    (tmp_path / "g.pth").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"g\.pth (is refused|cannot be read)"):
        load_generator(tmp_path / "g.pth")


def block_layout(**changes: Tensor) -> dict[str, Tensor]:
    """An SRResNet of the layout with `blockN`, as far as it is looked at before it is built."""
    shapes = {
        "block1.0.weight": (4, 3, 9, 9), "block1.1.weight": (1,), "block2.conv1.weight": (4, 4, 3, 3),
        "block2.conv1.bias": (4,), "block2.bn1.running_mean": (4,), "block3.0.weight": (4, 4, 3, 3),
        "block4.0.conv.weight": (16, 4, 3, 3), "block4.1.weight": (3, 4, 9, 9),
    }  # fmt: skip
    return {name: torch.zeros(shape) for name, shape in shapes.items()} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"block1.1.weight": torch.zeros(3)},
        {"block2.conv1.bias": torch.zeros(5)},
        {"block4.0.conv.weight": torch.zeros(16, 0, 3, 3)},
    ],
    ids=["slopes", "bias before BN", "no inputs"],
)
def test_known_names_with_shapes_that_do_not_go_together(
    changes: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(block_layout(**changes), tmp_path / "g.pth")
    with pytest.raises(
        UserError, match=r"g\.pth holds .* shapes of its weights do not go together"
    ):
        load_generator(tmp_path / "g.pth")


def test_a_header_that_no_network_has_is_refused(tmp_path: Path) -> None:
    header = {"architecture": "fastsr.RRDBNet", "scale": "8", "blocks": "1", "filters": "4"}
    save_file({"x": torch.zeros(1)}, tmp_path / "g.safetensors", {**header, "unshuffle": "2"})
    with pytest.raises(UserError, match="unshuffle 2 is not one of rrdb at scale 8"):
        load_generator(tmp_path / "g.safetensors")


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("blocks", 10**9, "does not fit SRResNet, .* the file has 30 tensors"),
        ("filters", 10**6, "does not fit SRResNet, .* of another shape"),
        ("filters", 10**20, "does not say what generator it holds"),
        ("scale", -3, "does not say what generator it holds .*--scale -3"),
    ],
)
def test_a_header_that_promises_more_than_its_file_allocates_nothing(
    setting: str, value: int, message: str, tmp_path: Path
) -> None:
    generator = build_generator(SRResNetArchitecture(scale=4, blocks=1, filters=8))
    header = {**header_of(generator.architecture), setting: str(value)}
    save_file(generator.state_dict(), tmp_path / "g.safetensors", header)
    with pytest.raises(UserError, match=message):
        load_generator(tmp_path / "g.safetensors")
