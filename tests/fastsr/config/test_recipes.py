"""Recipes."""

from fastsr.cohort import peer
from fastsr.config.check import check
from fastsr.config.mixing import mixing_matrix
from fastsr.config.recipes import demo, esrgan, paper, real_esrgan


def test_recipes() -> None:
    assert check(paper()) == paper()
    assert check(demo()) == demo()
    assert not demo().images.data


def test_the_paper_recipe_has_the_papers_numbers() -> None:
    config = paper()
    assert (config.model.blocks, config.model.filters, config.model.discriminator_filters) == (
        32,
        64,
        64,
    )
    assert (config.images.batch, config.images.patch, config.model.scale) == (16, 96, 4)
    assert (config.optim.steps, config.optim.pretrain_steps) == (50_000, 0)
    assert (config.optim.lr, config.optim.lr_milestones) == (1e-4, ())
    assert (config.cohort.peers, config.cohort.variant, config.cohort.kl_weight) == (2, "ml", 1.0)
    assert (config.loss.content, config.loss.adversarial_weight) == ("vgg54", 1e-3)
    assert (peer.BETA1, config.optim.beta2) == (0.9, 0.999)
    assert mixing_matrix(config.cohort) == [[0, 1], [1, 0]]


def test_the_demo_needs_no_download() -> None:
    config = demo()
    assert config.loss.content == "pixel"
    assert config.images.data == ()
    assert config.optim.pretrain_steps > 0 < config.optim.steps


def test_esrgan_has_its_papers_numbers() -> None:
    config = check(esrgan())
    model, loss, optim = config.model, config.loss, config.optim
    assert (model.generator, model.blocks, model.filters, model.growth) == ("rrdb", 23, 64, 32)
    assert (config.images.batch, config.images.patch, model.scale) == (16, 128, 4)
    assert (loss.content, loss.vgg_layers, loss.content_weight) == ("layers", ("conv5_4",), 1.0)
    assert (loss.pixel_weight, loss.pixel_loss) == (1e-2, "l1")
    assert (loss.adversarial, loss.adversarial_weight) == ("relativistic", 5e-3)
    assert (optim.lr, optim.beta2, optim.lr_gamma) == (1e-4, 0.999, 0.5)
    assert optim.lr_milestones == (50_000, 100_000, 200_000, 300_000)
    assert mixing_matrix(config.cohort) == [[0]]


def test_real_esrgan_has_its_papers_numbers() -> None:
    config = check(real_esrgan())
    model, loss, optim = config.model, config.loss, config.optim
    assert (model.generator, model.blocks, model.discriminator) == ("rrdb", 23, "unet")
    assert (config.images.batch, config.images.patch, model.scale) == (48, 256, 4)
    assert loss.vgg_layers == ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")
    assert loss.vgg_layer_weights == (0.1, 0.1, 1.0, 1.0, 1.0)
    assert (loss.content_weight, loss.pixel_weight, loss.adversarial_weight) == (1.0, 1.0, 0.1)
    assert (loss.adversarial, optim.steps, optim.lr, optim.beta2) == (
        "vanilla",
        400_000,
        1e-4,
        0.99,
    )
    assert config.degrade.degrade == "real-esrgan"
