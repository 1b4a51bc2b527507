"""VGG19 features for the content loss, with ImageNet or with random weights."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fastsr.errors import UserError

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
LAYERS: tuple[int | Literal["pool"], ...] = (
    64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512, "pool", 512, 512, 512, 512,
)  # fmt: skip
"""VGG19 up to conv5_4: convolutions by their output channels."""
FeatureLayer = Literal["conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"]
CONVOLUTIONS: dict[FeatureLayer, int] = {
    "conv1_2": 2,
    "conv2_2": 4,
    "conv3_4": 8,
    "conv4_4": 12,
    "conv5_4": 16,
}
"""The last convolutions before each pooling, by their number."""
RANDOM_SEED = 19
REMEDIES = (
    "put vgg19-dcbb9e9d.pth of torchvision on this machine and pass --vgg FILE, or connect to the network once, "
    "or train with --content pixel"
)


class VGG19Features(nn.Module):
    """Activations (after ReLU) of one VGG19 layer. Frozen: no parameter asks for a gradient.

    Takes `[N, 3, H, W]`, or grey `[N, 1, H, W]` as three equal channels, in [0, 1], normalised here by ImageNet's mean
    and deviation. Returns `[N, C, H', W']`:
    128 channels at half the size for conv2_2, 512 at a sixteenth for conv5_4. Starts with zero weights: load some.

    Source: Simonyan and Zisserman, 2015; the activation before the fifth pooling is SRGAN's phi_5,4.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layer: FeatureLayer = "conv5_4") -> None:
        super().__init__()
        features: list[nn.Module] = []
        channels, convolutions = 3, 0
        for width in LAYERS:
            if convolutions == CONVOLUTIONS[layer]:
                break
            if width == "pool":
                features.append(nn.MaxPool2d(2))
                continue
            # Names (features.0, features.2, ...) are torchvision's, so that its weight file loads as it is.
            features += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels, convolutions = width, convolutions + 1
        self.features = nn.Sequential(*features)
        self.register_buffer(
            "mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer(
            "deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False
        )
        self.requires_grad_(False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.features((x_NCHW - self.mean) / self.deviation)

    def randomise(self, seed: int = RANDOM_SEED) -> "VGG19Features":
        """Seeded He weights, zero biases. Source: Liu et al., "Generic perceptual loss", CVPR 2021."""
        generator = torch.Generator().manual_seed(seed)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                deviation = math.sqrt(2 / (module.in_channels * 9))
                with torch.no_grad():
                    module.weight.copy_(
                        torch.empty(module.weight.shape).normal_(0, deviation, generator=generator)
                    )
                    assert module.bias is not None
                    module.bias.zero_()
        return self

    def load(self, file: Path | None = None) -> "VGG19Features":
        """ImageNet weights from `file` (torchvision's .pth, or .safetensors with the same keys) or from the network.

        Raises UserError, naming every remedy, where they cannot be had or do not fit.
        """
        state = read_weights(file) if file else download_weights()
        wanted = self.state_dict()
        missing = [
            key
            for key in wanted
            if not isinstance(state.get(key), Tensor) or state[key].shape != wanted[key].shape
        ]
        if missing:
            raise UserError(
                f"{file or URL} does not hold VGG19 weights: {missing[0]} is missing or of another shape; {REMEDIES}"
            )
        self.load_state_dict({key: state[key] for key in wanted})
        return self


class VGG19Layers(VGG19Features):
    """Outputs of several convolutions before their activation: `[N, C, H', W']` of each layer.

    Source: ESRGAN, section 3.3: before the activation features are dense, and say more about brightness.
    """

    def __init__(self, layers: Sequence[FeatureLayer]) -> None:
        super().__init__(max(layers, key=lambda layer: CONVOLUTIONS[layer]))
        convolutions = [k for k, m in enumerate(self.features) if isinstance(m, nn.Conv2d)]
        ends = [convolutions[CONVOLUTIONS[layer] - 1] + 1 for layer in layers]
        assert ends == sorted(set(ends)), "layers in the order of the network"
        for end in ends:
            if end < len(self.features):  # it would write over what is returned
                self.features[end] = nn.ReLU(inplace=False)
        # A tuple is no module: names of weights stay those of `features`.
        self.parts = tuple(
            self.features[begin:end] for begin, end in zip([0, *ends], ends, strict=False)
        )

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, given = (x_NCHW - self.mean) / self.deviation, list[Tensor]()
        for part in self.parts:
            x = part(x)
            given.append(x)
        return tuple(given)


def read_weights(file: Path) -> dict[str, Tensor]:
    """A state dict from safetensors or a torch file without code. Raises UserError for what is neither."""
    if not file.is_file():
        problem = "is no regular file" if file.exists() else "does not exist"
        raise UserError(f"--vgg {file} {problem}; {REMEDIES}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that it then refuses, which is said below
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        if not isinstance(
            error, (OSError, RuntimeError, SafetensorError, ValueError, EOFError, KeyError)
        ) and ("pickle" not in type(error).__module__.lower()):
            raise
        raise UserError(
            f"--vgg {file} cannot be read as weights ({first_line(error)}); {REMEDIES}"
        ) from None
    if not isinstance(state, dict):
        raise UserError(f"--vgg {file} holds no state dict; {REMEDIES}")
    return state


def download_weights() -> dict[str, Tensor]:
    """torchvision's weights from its cache or its server, checked against the hash in the file's name."""
    try:
        return torch.hub.load_state_dict_from_url(
            URL, map_location="cpu", check_hash=True, weights_only=True
        )
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        if cached_weights().is_file():
            raise UserError(
                f"{cached_weights()} is damaged ({first_line(error)}); delete it, or {REMEDIES}"
            ) from None
        if not isinstance(error, (URLError, OSError, RuntimeError)):
            raise
        raise UserError(
            f"the VGG19 weights cannot be fetched ({first_line(error)}); {REMEDIES}"
        ) from None


def first_line(error: BaseException) -> str:
    """The first line of an exception, without torch's advice on loading a pickle all the same, which runs its code."""
    if isinstance(error, UnpicklingError):
        return "it holds more than tensors, or is damaged"
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def cached_weights() -> Path:
    """The file in which torch keeps a downloaded copy."""
    return Path(torch.hub.get_dir()) / "checkpoints" / URL.rsplit("/", 1)[1]
