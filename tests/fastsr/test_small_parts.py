"""Precision, the metrics ring, content losses, memory prediction, evaluation, upscaling and the doctor."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_image
from PIL import Image
from rich.console import Console

from fastsr.cli.doctor import examine
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import IMAGENET_SCALE, RANDOM_SCALE, FeatureContent, PixelContent, content_loss
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.terms import TRAINING_TERMS
from fastsr.config.check import check
from fastsr.config.recipes import demo, paper
from fastsr.config.settings import TrainConfig
from fastsr.data.bicubic import downscale, upscale
from fastsr.errors import UserError
from fastsr.evaluation.pairs import load_pairs
from fastsr.evaluation.psnr_ssim import psnr_y, ssim_y
from fastsr.evaluation.validate import evaluate
from fastsr.models import SRResNet, VGG19Features
from fastsr.models.inference import super_resolve, upscale_files
from fastsr.models.weights import save_generator
from fastsr.prediction.memory import out_of_memory_advice, predict_memory
from fastsr.system.device import choose_device
from fastsr.system.memory import out_of_memory
from fastsr.system.precision import Precision, choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ({"avx512_bf16"}, torch.bfloat16),
        ({"amx_bf16", "avx2"}, torch.bfloat16),
        ({"avx512f", "avx512_vnni"}, None),
        (set(), None),
    ],
    ids=["avx512_bf16", "amx", "avx512 alone", "nothing"],
)
def test_amp_on_a_cpu_is_bf16_only_where_it_is_fast(flags: set[str], dtype: torch.dtype | None) -> None:
    precision = choose_precision(True, CPU, frozenset(flags))
    assert (precision.dtype, precision.scaled) == (dtype, False)
    assert precision.note.startswith("--amp: ")
    assert "\n" not in precision.note
    if dtype is None:
        assert "fp32" in precision.note
        assert "avx512_bf16" in precision.note


def test_without_amp_nothing_is_said() -> None:
    assert choose_precision(False, CPU) == Precision()


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "mps", "cpu:x"])
def test_devices_that_do_not_exist_are_named(name: str) -> None:
    with pytest.raises(UserError, match=f"--device {name}"):
        choose_device(name)


def test_ring_keeps_the_last_rows_in_order() -> None:
    ring = MetricsRing(3, 2, CPU)
    for step in range(5):
        ring.write(torch.tensor(step), torch.full((2, len(TRAINING_TERMS)), float(step)))
    assert ring.read(2, 5)[:, 0, 0].tolist() == [2.0, 3.0, 4.0]
    assert ring.read(3, 4).shape == (1, 2, len(TRAINING_TERMS))


def test_short_rows_overwrite_what_stood_behind_them() -> None:
    ring = MetricsRing(1, 1, CPU)
    ring.write(torch.tensor(0), torch.ones(1, len(TRAINING_TERMS)))
    ring.write(torch.tensor(1), torch.full((1, 1), 7.0))
    assert ring.read(1, 2)[0, 0].tolist() == [7.0] + [0.0] * (len(TRAINING_TERMS) - 1)


@pytest.mark.parametrize("name", ["vgg22", "vgg54"])
def test_feature_content_is_scaled_mean_squared_error(name: str, tmp_path: Path) -> None:
    vgg = VGG19Features("conv5_4").randomise(seed=3)
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    content = content_loss(name, tmp_path / "vgg.pth")  # type: ignore[arg-type]
    sr, hr = torch.rand(2, 2, 3, 32, 32)
    want = (IMAGENET_SCALE * (content.vgg(sr) - content.vgg(hr))).square().mean()  # type: ignore[union-attr]
    assert float(content(sr, content.target(hr))) == pytest.approx(float(want), rel=1e-5)
    assert not content.target(hr).requires_grad


def test_pixel_content_is_mean_squared_error() -> None:
    sr, hr = torch.rand(2, 2, 3, 8, 8)
    content = PixelContent()
    assert float(content(sr, content.target(hr))) == pytest.approx(float((sr - hr).square().mean()), rel=1e-6)


def test_random_vgg_content_needs_no_file() -> None:
    content = content_loss("random-vgg")
    assert isinstance(content, FeatureContent)
    assert content.scale == RANDOM_SCALE
    assert torch.equal(content.vgg.features[0].weight, VGG19Features("conv5_4").randomise().features[0].weight)  # type: ignore[arg-type]


def test_predicted_resident_memory_is_what_a_cohort_holds(tiny_config: TrainConfig) -> None:
    config = replace(tiny_config, model=replace(tiny_config.model, filters=16, blocks=2))
    cohort = Cohort(config, PixelContent(), CPU, Precision())
    states = [v for peer in cohort.peers for n in peer.networks.values() for v in n.state_dict().values()]
    adam = [
        2 * p.numel() * 4 for peer in cohort.peers for n in (peer.generator, peer.discriminator) for p in n.parameters()
    ]
    held = sum(v.numel() * v.element_size() for v in states) + sum(adam)
    assert predict_memory(config, Precision()).resident == pytest.approx(held, rel=0.02)


def test_predicted_peak_grows_with_the_batch_and_shrinks_with_bf16(tiny_config: TrainConfig) -> None:
    config = replace(
        tiny_config,
        model=replace(tiny_config.model, filters=16, blocks=4),
        images=replace(tiny_config.images, patch=64),
    )
    small, large = (
        predict_memory(replace(config, images=replace(config.images, batch=n)), Precision()) for n in (4, 8)
    )
    assert large.resident - small.resident == 2 * 2 * (8 - 4) * 4  # logits of the last step: real and fake, two peers
    assert 1.7 < (large.peak - large.resident) / (small.peak - small.resident) < 2.1
    mixed = predict_memory(replace(config, images=replace(config.images, batch=8)), Precision(dtype=torch.bfloat16))
    assert mixed.peak < large.peak


def test_streams_keep_their_memory_to_themselves(tiny_config: TrainConfig) -> None:
    """Peers beside each other on a GPU need more at once than one after the other, and weigh the same."""
    config = replace(tiny_config, images=replace(tiny_config.images, patch=64))
    after, beside = (predict_memory(config, Precision(), on_gpu) for on_gpu in (False, True))
    one_stream = replace(config, machine=replace(config.machine, peer_streams=1))
    assert after.resident == beside.resident
    assert after.peak < beside.peak
    assert predict_memory(one_stream, Precision(), on_gpu=True) == after


def test_activations_that_are_computed_again_spare_memory(tiny_config: TrainConfig) -> None:
    config = replace(tiny_config, model=replace(tiny_config.model, filters=16, blocks=8))
    spared = replace(config, machine=replace(config.machine, checkpoint_activations=True))
    less, more = predict_memory(spared, Precision()), predict_memory(config, Precision())
    assert less.peak - less.resident < 0.6 * (more.peak - more.resident)


def test_out_of_memory_names_settings_that_fit(tiny_config: TrainConfig) -> None:
    """Each is predicted again, and only those that fit are named."""
    config = replace(tiny_config, model=replace(tiny_config.model, filters=16, blocks=8))
    config = replace(config, images=replace(config.images, batch=8))
    need = predict_memory(config, Precision()).peak
    roomy = out_of_memory_advice(config, CPU, room=round(0.9 * need))
    assert "with these it would fit: --checkpoint-activations (0.0 GB), or " in roomy
    assert roomy.count(" GB)") == 3
    spared = replace(config, machine=replace(config.machine, checkpoint_activations=True))
    tight = out_of_memory_advice(config, CPU, room=predict_memory(spared, Precision()).peak - 1)
    assert "fit: --checkpoint-activations (" not in tight
    assert "use a smaller model" in out_of_memory_advice(config, CPU, room=1000)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("can't allocate memory")]
)
def test_out_of_memory_is_one_clear_line(error: RuntimeError) -> None:
    with pytest.raises(UserError, match=r"^out of memory: use less$"), out_of_memory(lambda: "use less"):
        raise error
    with pytest.raises(RuntimeError, match=r"another"), out_of_memory(lambda: "use less"):
        raise RuntimeError("another")


def write_images(folder: Path, count: int = 2, side: int = 41) -> Path:
    folder.mkdir()
    for k in range(count):
        Image.fromarray(random_image(side, side + 5, k)).save(folder / f"{k}.png")
    return folder


def test_evaluation_averages_whole_images_beside_bicubic(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "set")
    generator = SRResNet(2, blocks=1, filters=4).eval()
    scores = evaluate({"mine": generator}, load_pairs((folder,), 2), 2)
    want = []
    for k in range(2):
        hr = torch.from_numpy(random_image(41, 46, k))[:40, :46]
        lr = downscale(hr, 2)
        with torch.no_grad():
            x = generator(lr.permute(2, 0, 1)[None].float() / 255)[0]
        sr = (x * 255).round().to(torch.uint8).permute(1, 2, 0)
        assert torch.equal(sr, super_resolve(generator, lr))
        want.append((psnr_y(sr, hr, 2), ssim_y(sr, hr, 2), psnr_y(upscale(lr, 2), hr, 2)))
    psnr, ssim, bicubic = np.mean(want, axis=0)
    assert (scores["mine"].psnr, scores["mine"].ssim) == pytest.approx((psnr, ssim), rel=1e-9)
    assert scores["bicubic"].psnr == pytest.approx(bicubic, rel=1e-9)


def test_inference_uses_cudnn_without_searching(tmp_path: Path) -> None:
    """Every image has another size: an algorithm search for each would cost more than it gains."""
    seen: list[tuple[bool, bool]] = []
    generator = SRResNet(2, blocks=1, filters=4).eval()
    cudnn = torch.backends.cudnn
    generator.register_forward_hook(lambda *_: seen.append((cudnn.enabled, cudnn.benchmark)))
    with cudnn.flags(enabled=True, benchmark=True):
        super_resolve(generator, torch.zeros(8, 8, 3, dtype=torch.uint8))
    assert seen == [(True, False)]


def test_test_images_that_cannot_be_used_are_all_listed(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "set")
    (folder / "broken.png").write_bytes(b"nothing")
    Image.fromarray(random_image(10, 90)).save(folder / "small.png")
    with pytest.raises(
        UserError, match=r"(?s)2 test images.*broken\.png: is not an image.*small\.png: is 90x10, too small"
    ):
        list(load_pairs((folder,), 2))


def test_upscaled_files_are_what_the_generator_gives(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "small", 2, 12)
    generator = SRResNet(4, blocks=1, filters=4).eval()
    save_generator(generator, tmp_path / "mine.safetensors")
    written = list(upscale_files(tmp_path / "mine.safetensors", (folder,), tmp_path / "out", CPU))
    assert [p.name for p in written] == ["0-x4.png", "1-x4.png"]
    got = np.asarray(Image.open(written[1]))
    assert got.shape == (48, 68, 3)
    want = super_resolve(generator, torch.from_numpy(random_image(12, 17, 1)))
    assert np.abs(got.astype(int) - want.numpy().astype(int)).max() <= 1


def test_doctor_reports_machine_images_and_run(tmp_path: Path, tiny_config: TrainConfig) -> None:
    folder = write_images(tmp_path / "images", 3)
    Image.fromarray(random_image(50, 60)[..., 0]).save(folder / "grey.jpg")
    (folder / "broken.webp").write_bytes(b"nothing")
    Image.fromarray(random_image(8, 8)).save(folder / "tiny.png")
    config = replace(tiny_config, images=replace(tiny_config.images, data=(folder,)))
    with (tmp_path / "screen").open("w") as file:
        console = Console(record=True, width=200, file=file)
        examine(config, console)
    text = console.export_text()
    for part in ("torch", "memory", "mixed precision", "triton", "compiler", "VGG19 weights", "6 images", "4 PNG RGB",
                 "1 JPEG L", "from 8x8 to 60x50", "2 (mend them", "broken.webp: is not an image", "tiny.png: is 8x8",
                 "2 peers (ml)", "peak of a step"):  # fmt: skip
        assert part in text, part


def test_freed_memory_is_kept_where_malloc_can() -> None:
    """In a process of its own, as the setting lasts: large blocks come back without new page faults."""
    code = """
import resource
import torch
from fastsr.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(48 * 2**18)  # 48 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

default = faults()
kept = keep_freed_memory()
faults()
print(kept, default, faults())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, default, after = result.stdout.split()
    if kept == "False":
        pytest.skip("this system's malloc is not glibc's")
    assert int(after) < int(default) / 4


def test_recipes() -> None:
    assert check(paper()) == paper()
    assert check(demo()) == demo()
    assert not demo().images.data
