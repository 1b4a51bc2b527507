"""The discriminators' binary cross entropy and mutual distillation, and the generators' adversarial loss."""

from fastsr_kernels.cohort_loss.reference import CohortLoss, cohort_loss

__all__ = ["CohortLoss", "cohort_loss"]
