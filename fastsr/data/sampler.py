"""Training patches as a pure function of (seed, step): every device draws the same.

Axes: N patches of a batch, C channels, H W high- and h w low-resolution sides of a patch, I images of a store.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

import torch
from fastsr_kernels.bicubic import Border
from fastsr_kernels.patch_sampler import Choice, Crop, Images, patch_sampler, reference
from torch import Tensor

from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.errors import UserError

Probability = Literal["uniform", "area"]
ASIDE = 2**40
"""The first step whose patches are not for training but for what is measured beside it; no training gets so far."""


class PatchSource(Protocol):
    """Whatever gives the patches of a step, on the training device."""

    def load(self) -> None:
        """Does the host's share, before each step."""
        ...

    def seek(self, step: int) -> None:
        """Draws the patches of this step next, where the host draws them."""
        ...

    def draw(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The patches `lr_NChw, hr_NCHW`; part of the step."""
        ...

    def draw_aside(self, step: int) -> tuple[Tensor, Tensor]:
        """The patches of any step, by its number on the host: the whole batch, where processes draw slices of it. No
        part of a step, which goes on undisturbed."""
        ...


class PatchSampler:
    """Draws aligned pairs of low- and high-resolution patches.

    Crops begin at multiples of the scale and are turned and mirrored in one of 8 ways. The low-resolution patch is
    MATLAB's bicubic of the whole image, cropped: the filter reads beyond the crop, and the border rule holds only at
    the edge of the image, which is first cut to a multiple of the scale.

    Args:
        store: the images, on the device that draws, or in pinned host memory where Triton kernels run.
        scale: 1, 2, 3, 4 or 8; at 1 LR is HR, or given. patch: side of the HR patch in pixels, a multiple of the scale.
        batch: patches in one draw. seed: 0 to 2^63 - 1.
        border: what lies beyond an image's edge. probability: draw images alike, or in proportion to their crops.
        augment: turn and mirror.
        device: where patches are drawn; that of the store by default.
        fused: by a Triton kernel where there is one for the device, else in torch.
        part: of the `parts` equal slices of a batch, the one that `draw` gives; together they are the whole batch.
    Raises:
        UserError: for a patch that is no multiple of the scale or larger than an image.
    """

    def __init__(
        self,
        store: PixelStore,
        *,
        scale: int,
        patch: int,
        batch: int,
        seed: int,
        border: Border = "replicate",
        probability: Probability = "uniform",
        augment: bool = True,
        device: torch.device | None = None,
        fused: bool = True,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        if patch % scale:
            raise UserError(
                f"--patch {patch} is no multiple of --scale {scale}; use {patch // scale * scale or scale}"
            )
        self.store, self.seed, self.fused = store, seed, fused
        self.device = device or store.device
        self.whole = Crop(scale, patch, batch, border, augment, store.channels)
        self.crop = self.whole._replace(batch=batch // parts)
        self.part, self.parts = part, parts
        tables_I = (
            store.start_I,
            store.height_I,
            store.width_I,
            running_weights(store, scale, patch, probability),
        )
        self.images = Images(
            samples(store.pixels),
            *(table_I.to(self.device).contiguous() for table_I in tables_I),
            *given_low(store, self.device),
        )

    @staticmethod
    def from_config(
        store: PixelStore,
        config: TrainConfig,
        device: torch.device | None = None,
        part: int = 0,
        parts: int = 1,
    ) -> "PatchSampler":
        """Draws what a configuration says, on `device`; on that of the store by default."""
        images = config.images
        return PatchSampler(
            store,
            scale=config.model.scale,
            patch=config.drawn_side,
            batch=images.batch,
            seed=config.machine.seed,
            border=images.border,
            probability=images.probability,
            augment=images.augment,
            device=device,
            fused=config.machine.fused,
            part=part,
            parts=parts,
        )

    def load(self) -> None:
        """Nothing: the device draws by itself."""

    def seek(self, step: int) -> None:
        """Nothing: the device draws what its own counter says."""

    def draw(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The patches of one step: `lr_NChw, hr_NCHW`, float32 in [0, 1], channels-last.

        Args:
            step: int64 scalar on the drawing device; it is not read by the host.
        """
        return self.drawn(self.crop, self.counter(step))

    def counter(self, step: Tensor) -> Tensor:
        """The step of smaller batches, one for each slice, that gives the slice of this one.

        A patch follows from the seed and step * batch + its index, so slices are batches of their own.
        """
        return step if self.parts == 1 else step * self.parts + self.part

    def drawn(self, crop: Crop, step: Tensor) -> tuple[Tensor, Tensor]:
        draw = patch_sampler if self.fused else reference.patch_sampler
        return draw(self.images, crop, self.seed, step)

    def draw_aside(self, step: int) -> tuple[Tensor, Tensor]:
        """The patches of that step, all slices of them, on the drawing device."""
        return self.drawn(self.whole, torch.tensor(step, device=self.device))

    def draw_bytes(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The same patches as levels `lr_NhwC, hr_NHWC`, in torch."""
        return reference.draw_bytes(self.images, self.crop, self.seed, self.counter(step))

    def draw_bytes_aside(self, step: int) -> tuple[Tensor, Tensor]:
        """The patches of `draw_aside` as levels, in torch."""
        return reference.draw_bytes(self.images, self.whole, self.seed, torch.tensor(step))

    def choose(self, step: Tensor) -> Choice:
        """The image, the origin of its crop (HR pixels) and one of 8 orientations for each patch of a step."""
        return reference.choose(self.images, self.crop, self.seed, self.counter(step))


def samples(pixels: Tensor) -> Tensor:
    """Pixels as kernels take them: 16 bits as int16, for which torch has every operation."""
    return pixels.view(torch.int16) if pixels.dtype == torch.uint16 else pixels


def given_low(store: PixelStore, device: torch.device) -> tuple[Tensor, Tensor] | tuple[()]:
    """Pixels and first pixels of the given low resolutions, where there are some."""
    if store.lr_pixels is None or store.lr_start_I is None:
        return ()
    return samples(store.lr_pixels), store.lr_start_I.to(device).contiguous()


def running_weights(store: PixelStore, scale: int, patch: int, probability: Probability) -> Tensor:
    """int64 `[I]`, the last entry below 2^31. Raises UserError where an image is smaller than a patch."""
    rows_I, columns_I = (
        (side // scale - patch // scale + 1) for side in (store.height_I, store.width_I)
    )
    if bool((torch.minimum(rows_I, columns_I) < 1).any()):
        raise UserError(f"an image is smaller than --patch {patch}; use a smaller patch")
    crops_I = rows_I * columns_I
    while probability == "area" and int(crops_I.sum()) >= 2**31:
        crops_I = (crops_I + 1) // 2
    return (crops_I if probability == "area" else torch.ones_like(crops_I)).cumsum(0)


class HostPatches:
    """Patches of a store in host memory, for training on a device: drawn one step ahead by a thread, then copied.

    The host counts the steps itself, so that the device's counter need not be read. The bytes of every step lie in the
    same place on the device, so that a captured step finds them too.

    Args:
        sampler: draws on the CPU. device: where patches are needed.
    """

    def __init__(self, sampler: PatchSampler, device: torch.device) -> None:
        self.sampler, self.device = sampler, device
        self.pool = ThreadPoolExecutor(1)
        self.bytes = tuple(x.to(device) for x in sampler.draw_bytes(torch.tensor(0)))
        self.seek(0)

    def seek(self, step: int) -> None:
        """The step whose patches `load` gives next."""
        self.step = step
        self.next = self.pool.submit(self.fetch, step)

    def fetch(self, step: int) -> tuple[Tensor, ...]:
        drawn = self.sampler.draw_bytes(torch.tensor(step))
        return tuple(x.pin_memory() for x in drawn) if self.device.type == "cuda" else drawn

    def load(self) -> None:
        """Copies the patches of the next step to the device and has those of the one after it drawn."""
        for home, drawn in zip(self.bytes, self.next.result(), strict=True):
            home.copy_(drawn, non_blocking=True)
        self.seek(self.step + 1)

    def draw(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The patches that were loaded last, which are those of `PatchSampler.draw`; `step` itself is not read."""
        lr_NhwC, hr_NHWC = self.bytes
        return reference.to_unit(lr_NhwC), reference.to_unit(hr_NHWC)

    def draw_aside(self, step: int) -> tuple[Tensor, Tensor]:
        """The patches of that step, drawn now and copied; those that were loaded stay."""
        lr_NhwC, hr_NHWC = (x.to(self.device) for x in self.sampler.draw_bytes_aside(step))
        return reference.to_unit(lr_NhwC), reference.to_unit(hr_NHWC)
