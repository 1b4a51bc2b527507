"""The discriminators' binary cross entropy and mutual distillation, and the generators' adversarial loss."""

from fastsr_kernels.cohort_loss import reference
from fastsr_kernels.cohort_loss.op import cohort_loss
from fastsr_kernels.cohort_loss.reference import CohortLoss

__all__ = ["CohortLoss", "cohort_loss", "reference"]
