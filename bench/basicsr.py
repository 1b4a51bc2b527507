"""BasicSR's SRGANModel, where BasicSR is installed, on the same networks and patches.

Its `optimize_parameters` runs with BasicSR's own losses. Building it from an options file would download weights.
Axes: N images, C channels, h w low and H W high resolution.
"""

import sys
from typing import Any

import torch
from torch import Tensor

from fastsr.cohort.content import FeatureContent, content_loss
from fastsr.config.settings import TrainConfig
from fastsr.models import Discriminator, SRResNet


def import_basicsr() -> Any:
    """BasicSR's `SRGANModel` and `GANLoss`. Raises ImportError where it is not installed."""
    from torchvision.transforms import functional

    # BasicSR 1.4.2 imports a module that torchvision has since renamed.
    sys.modules.setdefault("torchvision.transforms.functional_tensor", functional)
    from basicsr.losses.gan_loss import GANLoss
    from basicsr.models.srgan_model import SRGANModel

    return SRGANModel, GANLoss


def has_basicsr() -> bool:
    """True where BasicSR can be imported."""
    try:
        import_basicsr()
    except ImportError:
        return False
    return True


class BasicSR:
    """One SRGANModel for each peer of a cohort, one after the other, in fp32."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        content = content_loss(config.loss)
        assert isinstance(content, FeatureContent)
        content.to(device)
        self.models = [basicsr_model(config, content, device) for _ in range(config.cohort.peers)]
        self.iteration = 0

    def step(self, lr_NChw: Tensor, hr_NCHW: Tensor) -> None:
        """One step of every model on the same patches."""
        self.iteration += 1
        for model in self.models:
            model.lq, model.gt = lr_NChw.contiguous(), hr_NCHW.contiguous()
            model.optimize_parameters(self.iteration)


def basicsr_model(config: TrainConfig, content: FeatureContent, device: torch.device) -> Any:
    """A model with the attributes that `init_training_settings` would set from options."""
    SRGANModel, GANLoss = import_basicsr()
    shape = (config.model.scale, config.model.blocks, config.model.filters)
    model = object.__new__(SRGANModel)
    model.opt, model.device = {"dist": False}, device
    model.net_g, model.net_g_ema = SRResNet(*shape).to(device), SRResNet(*shape).to(device).eval()
    model.net_d = Discriminator(config.images.patch, config.model.discriminator_filters).to(device)
    model.cri_pix, model.cri_ldl = None, None
    model.cri_perceptual = lambda sr, hr: (content(sr, content.target(hr)), None)
    model.cri_gan = GANLoss("vanilla", loss_weight=config.loss.adversarial_weight).to(device)
    model.net_d_iters, model.net_d_init_iters, model.ema_decay = 1, 0, config.optim.ema
    model.optimizer_g = torch.optim.Adam(model.net_g.parameters(), lr=config.optim.lr)
    model.optimizer_d = torch.optim.Adam(model.net_d.parameters(), lr=config.optim.lr)
    return model
