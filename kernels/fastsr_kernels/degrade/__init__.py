"""Blind degradations: low-resolution patches as real photos have them, drawn on the device."""

from fastsr_kernels.degrade import reference
from fastsr_kernels.degrade.op import degrade
from fastsr_kernels.degrade.settings import Degradation, Frame, Round, pack

__all__ = ["Degradation", "Frame", "Round", "degrade", "pack", "reference"]
