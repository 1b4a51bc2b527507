"""The best of a run: the validation with the highest PSNR of any peer. Its checkpoint is kept beside the last ones."""

from collections.abc import Callable
from math import inf
from pathlib import Path

from fastsr.checkpoints import Best, checkpoint_name, list_checkpoints, write_best
from fastsr.errors import UserError
from fastsr.evaluation.protocol import BICUBIC
from fastsr.training.run import Run


def note_best(run: Run, step: int, saved: Callable[[], Path] | None = None) -> None:
    """Writes which validation had the highest PSNR of those whose checkpoints are there, into best.json.

    Everything is read from the metrics, which a resumed run cuts to its step: it ends with the best of a run that was
    never stopped.

    Args:
        step: the step that the run is at. saved: saves its checkpoint, where that is the best so far.
    """
    kept = {checkpoint.name for checkpoint in list_checkpoints(run.folder)}
    found = [
        Best(row["step"], peer, psnr)
        for row in run.read_metrics()
        if row["kind"] == "validation"
        and (checkpoint_name(row["step"]) in kept or (saved and row["step"] == step))
        for peer, psnr in enumerate(psnr_of_peers(row["scores"]))
    ]
    try:
        if not found:
            run.best_file.unlink(missing_ok=True)
            return
        # Of equals, the first.
        best = max(found, key=lambda one: inf if one.psnr is None else one.psnr)
        if best.step == step and saved:
            saved()
        write_best(run.folder, best)
    except OSError as error:
        raise UserError(
            f"{run.best_file} cannot be written ({error.strerror}); free space, then --resume"
        ) from error


def psnr_of_peers(scores: dict[str, dict[str, float | None]]) -> list[float | None]:
    return [score["psnr"] for name, score in scores.items() if name != BICUBIC]
