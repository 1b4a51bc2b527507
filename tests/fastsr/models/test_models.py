"""Networks: shapes, ranges, sizes known from the paper, VGG weights, and what other tools make of the file's keys."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fastsr.errors import UserError
from fastsr.models import Discriminator, SRResNet, VGG19Features
from fastsr.models.norm import BatchNorm
from fastsr.models.vgg import CONVOLUTIONS, URL


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_generator_enlarges_into_the_unit_range(scale: int) -> None:
    generator = SRResNet(scale, blocks=1, filters=8).eval()
    sr = generator(torch.rand(2, 3, 5, 7)).detach()
    assert sr.shape == (2, 3, 5 * scale, 7 * scale)
    assert 0 < float(sr.min()) < float(sr.max()) < 1


def test_paper_generator_has_the_known_size() -> None:
    """2.73 million parameters at x4, counted by hand from SRGAN's figure 4 with 32 blocks and PReLU per channel."""
    block = 2 * (64 * 64 * 9 + 2 * 64) + 64
    upsampler = 64 * 256 * 9 + 256 + 64
    want = (
        (3 * 64 * 81 + 64 + 64)
        + 32 * block
        + (64 * 64 * 9 + 128)
        + 2 * upsampler
        + (64 * 3 * 81 + 3)
    )
    assert sum(p.numel() for p in SRResNet(4).parameters()) == want == 2_733_315


def test_generator_refuses_other_scales() -> None:
    with pytest.raises(UserError, match="--scale 5"):
        SRResNet(5)


@pytest.mark.parametrize("patch", [16, 24, 33, 96])
def test_discriminator_gives_one_fp32_logit_per_image(patch: int) -> None:
    logits = Discriminator(patch, filters=2)(torch.rand(3, 3, patch, patch))
    assert (logits.shape, logits.dtype) == ((3,), torch.float32)


def test_discriminator_is_srgans() -> None:
    network = Discriminator(96)
    assert [(c.in_channels, c.out_channels, c.stride[0]) for c in network.convs if isinstance(c, nn.Conv2d)] == [
        (3, 64, 1), (64, 64, 2), (64, 128, 1), (128, 128, 2),
        (128, 256, 1), (256, 256, 2), (256, 512, 1), (512, 512, 2),
    ]  # fmt: skip
    assert network.dense.weight.shape == (1024, 512 * 6 * 6)
    assert len(network.norms) == 7


def test_state_dict_keys_do_not_look_like_another_architecture() -> None:
    """Keys by which spandrel tells architectures apart must not occur at the top level of our generator."""
    keys = list(SRResNet(4, blocks=2, filters=4).state_dict())
    for prefix in ("body.", "model.", "head.", "tail.", "conv_first.", "module."):
        assert not any(key.startswith(prefix) for key in keys)


def test_activations_computed_again_change_nothing() -> None:
    """Gradients are the same bit for bit, and BN counts every batch once."""
    torch.manual_seed(0)
    plain, spared = SRResNet(2, 3, 8), SRResNet(2, 3, 8)
    spared.load_state_dict(plain.state_dict())
    spared.recompute = True
    x = torch.rand(2, 3, 12, 12)
    for _ in range(2):
        for network in (plain, spared):
            network.zero_grad()
            network(x).square().mean().backward()
    for (name, a), b in zip(plain.named_parameters(), spared.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name  # type: ignore[arg-type]
    for (name, a), b in zip(plain.named_buffers(), spared.buffers(), strict=True):
        assert torch.equal(a, b), name
    assert spared.blocks[0].norm1.momentum == 0.1


def test_batch_normalisation_is_torchs_but_for_its_count() -> None:
    ours, theirs, x = BatchNorm(3), nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5)
    for training in (True, True, False):
        assert torch.equal(ours.train(training)(x), theirs.train(training)(x))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value) != (name == "num_batches_tracked")


def test_compiled_blocks_keep_their_keys() -> None:
    generator, discriminator = SRResNet(2, blocks=1, filters=4), Discriminator(16, filters=2)
    before = [list(n.state_dict()) for n in (generator, discriminator)]
    generator.compile_blocks()
    discriminator.compile_blocks()
    assert [list(n.state_dict()) for n in (generator, discriminator)] == before


def torchvision_like_weights() -> dict[str, torch.Tensor]:
    """Random weights under torchvision's names, with layers that we do not use."""
    state = VGG19Features("conv5_4").randomise(seed=5).state_dict()
    return {**state, "classifier.0.weight": torch.zeros(1)}


@pytest.mark.parametrize("layer", ["conv2_2", "conv5_4"])
def test_vgg_layers_are_torchvisions(layer: str) -> None:
    """The same weights in torchvision's own VGG19 give the same activations."""
    torchvision = pytest.importorskip("torchvision")
    state = torchvision_like_weights()
    ours = VGG19Features(layer)  # type: ignore[arg-type]
    ours.load_state_dict({k: v for k, v in state.items() if k in ours.state_dict()})
    with torch.device("meta"):
        theirs = torchvision.models.vgg19().features
    theirs.load_state_dict(
        {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features")},
        assign=True,
    )
    last = {"conv2_2": 8, "conv5_4": 35}[layer]
    x = torch.rand(1, 3, 40, 32)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    want = theirs[: last + 1]((x - mean.view(3, 1, 1)) / deviation.view(3, 1, 1))
    assert isinstance(theirs[last], nn.ReLU)
    torch.testing.assert_close(ours(x), want)
    assert sum(isinstance(m, nn.Conv2d) for m in ours.features) == CONVOLUTIONS[layer]  # type: ignore[index]


def test_vgg_reads_pth_and_safetensors(tmp_path: Path) -> None:
    state = torchvision_like_weights()
    torch.save(state, tmp_path / "vgg.pth")
    save_file(state, tmp_path / "vgg.safetensors")
    x = torch.rand(1, 3, 32, 32)
    want = VGG19Features("conv2_2").randomise(seed=5)
    loaded = [
        VGG19Features("conv2_2").load(tmp_path / name)(x) for name in ("vgg.pth", "vgg.safetensors")
    ]
    assert torch.equal(*loaded)
    assert torch.equal(loaded[0], want(x)), (
        "random weights of shallow layers do not depend on how deep the network is"
    )
    assert not torch.equal(loaded[0], VGG19Features("conv2_2").randomise(seed=6)(x))


def test_vgg_is_frozen_but_passes_gradients_to_images() -> None:
    vgg = VGG19Features("conv2_2").randomise()
    assert not any(p.requires_grad for p in vgg.parameters())
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    vgg(x).square().mean().backward()
    assert x.grad is not None
    assert bool(x.grad.any())


def test_random_vgg_is_the_same_everywhere_and_keeps_activations_alive() -> None:
    a, b = (VGG19Features("conv5_4").randomise() for _ in range(2))
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(a(x), b(x))
    assert 0.1 < float(a(x).square().mean()) < 100


def test_vgg_errors_name_the_file_and_all_remedies(tmp_path: Path) -> None:
    state = torchvision_like_weights()
    del state["features.0.weight"]
    torch.save(state, tmp_path / "incomplete.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "noise.pth").write_bytes(b"no weights" * 50)
    (tmp_path / "noise.safetensors").write_bytes(b"no weights" * 50)
    for name in ("missing.pth", "incomplete.pth", "list.pth", "noise.pth", "noise.safetensors"):
        with pytest.raises(UserError) as caught:
            VGG19Features().load(tmp_path / name)
        message = str(caught.value)
        assert name in message
        assert "\n" not in message
        for remedy in ("--vgg FILE", "network", "--content pixel"):
            assert remedy in message


def test_vgg_download_without_network_names_all_remedies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real loading code, sent to an address where nobody answers."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("fastsr.models.vgg.URL", "http://127.0.0.1:9/" + URL.rsplit("/", 1)[1])
    with pytest.raises(UserError, match=r"cannot be fetched.*--vgg FILE.*--content pixel"):
        VGG19Features().load()


def test_vgg_cached_weights_are_checked_against_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that gives other bytes than the name's hash promises is refused."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    source = tmp_path / URL.rsplit("/", 1)[1]
    torch.save(torchvision_like_weights(), source)
    monkeypatch.setattr("fastsr.models.vgg.URL", source.as_uri())
    with pytest.raises(UserError, match="invalid hash"):
        VGG19Features().load()
