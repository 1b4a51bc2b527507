"""Predicted memory."""

import re
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.config.networks import DiscriminatorName, GeneratorName
from fastsr.config.settings import TrainConfig
from fastsr.prediction.memory import out_of_memory_advice, predict_memory, smaller_settings
from fastsr.system.precision import Precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("generator", "discriminator"),
    [("srresnet", "vgg"), ("rrdb", "unet"), ("span", "patch"), ("compact", "vgg")],
)
def test_predicted_resident_memory_is_what_a_cohort_holds(
    tiny_config: TrainConfig, generator: GeneratorName, discriminator: DiscriminatorName
) -> None:
    config = replace(
        tiny_config,
        model=replace(
            tiny_config.model,
            filters=16,
            blocks=2,
            generator=generator,
            discriminator=discriminator,
        ),
        images=replace(tiny_config.images, patch=32),
    )
    cohort = Cohort(config, PixelContent(), CPU, Precision())
    states = [
        v for peer in cohort.peers for n in peer.networks.values() for v in n.state_dict().values()
    ]
    adam = [
        2 * p.numel() * 4
        for peer in cohort.peers
        for n in (peer.generator, peer.discriminator)
        for p in n.parameters()
    ]
    states.append(cohort.logits_2PE)
    held = sum(v.numel() * v.element_size() for v in states) + sum(adam)
    assert predict_memory(config, Precision()).resident == pytest.approx(held, rel=0.02)


def test_predicted_peak_grows_with_the_batch_and_shrinks_with_bf16(
    tiny_config: TrainConfig,
) -> None:
    config = replace(
        tiny_config,
        model=replace(tiny_config.model, filters=16, blocks=4),
        images=replace(tiny_config.images, patch=64),
    )
    small, large = (
        predict_memory(replace(config, images=replace(config.images, batch=n)), Precision())
        for n in (4, 8)
    )
    # Logits of the last step: real and fake, two peers.
    assert large.resident - small.resident == 2 * 2 * (8 - 4) * 4
    assert 1.7 < (large.peak - large.resident) / (small.peak - small.resident) < 2.1
    mixed = predict_memory(
        replace(config, images=replace(config.images, batch=8)), Precision(dtype=torch.bfloat16)
    )
    assert mixed.peak < large.peak


def test_streams_keep_their_memory_to_themselves(tiny_config: TrainConfig) -> None:
    """Peers beside each other on a GPU need more at once than one after the other, and weigh the same."""
    machine = replace(tiny_config.machine, fused=False)
    config = replace(tiny_config, images=replace(tiny_config.images, patch=64), machine=machine)
    after, beside = (predict_memory(config, Precision(), on_gpu) for on_gpu in (False, True))
    one_stream = replace(config, machine=replace(config.machine, peer_streams=1))
    assert after.resident == beside.resident
    assert after.peak < beside.peak
    assert predict_memory(one_stream, Precision(), on_gpu=True) == after


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
def test_fused_norms_keep_no_inputs_of_activations(tiny_config: TrainConfig) -> None:
    """On a GPU. Every block has two convolutions and one activation, whose input is as large as each of theirs."""
    model = replace(tiny_config.model, filters=16, blocks=24)
    fused, plain = (
        predict_memory(
            replace(tiny_config, model=model, machine=replace(tiny_config.machine, fused=fused)),
            Precision(),
            on_gpu=True,
        )
        for fused in (True, False)
    )
    images, side = tiny_config.images.batch, tiny_config.images.patch // 2
    of_activations = tiny_config.cohort.peers * 24 * images * 16 * side**2 * 4
    assert plain.peak - fused.peak >= 0.9 * of_activations


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
    assert re.search(r"with these it would fit: --checkpoint-activations \(\d+ MB\), or ", roomy)
    assert roomy.count(" MB)") == 3
    spared = replace(config, machine=replace(config.machine, checkpoint_activations=True))
    tight = out_of_memory_advice(config, CPU, room=predict_memory(spared, Precision()).peak - 1)
    assert "fit: --checkpoint-activations (" not in tight
    assert "use a smaller model" in out_of_memory_advice(config, CPU, room=1000)


def test_small_settings_are_named_once(tiny_config: TrainConfig) -> None:
    """A quarter and an eighth of a small batch are both the least that there is."""
    config = replace(tiny_config, images=replace(tiny_config.images, batch=4, patch=32))
    named = [words for words, _ in smaller_settings(config, CPU)]
    assert named[-2:] == ["--batch 2", "--patch 16"] and len(set(named)) == len(named)
