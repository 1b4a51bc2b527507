"""Random training patches in low and high resolution, drawn on the device."""

from fastsr_kernels.patch_sampler import reference
from fastsr_kernels.patch_sampler.op import patch_sampler
from fastsr_kernels.patch_sampler.reference import Choice, Crop, Images

__all__ = ["Choice", "Crop", "Images", "patch_sampler", "reference"]
