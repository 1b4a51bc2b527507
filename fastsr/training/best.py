"""The best of a run: the validation with the highest PSNR of any peer. Its checkpoint is kept beside the last ones.

PSNR and not NIQE, which tells more of what a GAN adds: NIQE needs an extra that is not free for all, and weights, and
what is kept must not depend on what happens to be installed.
"""

from collections.abc import Callable
from math import inf, isclose
from typing import Any

from fastsr.checkpoints import Best, checkpoint_name, list_checkpoints, write_best
from fastsr.errors import UserError
from fastsr.evaluation.protocol import BICUBIC
from fastsr.training.run import Run


def at_once(job: Callable[[], None]) -> None:
    job()


def note_best(
    run: Run,
    step: int,
    saved: Callable[[], object] | None = None,
    later: Callable[[Callable[[], None]], None] = at_once,
) -> None:
    """Writes which validation had the highest PSNR of those whose checkpoints are there, into best.json.

    Everything is read from the metrics, which a resumed run cuts to its step: it ends with the best of a run that was
    never stopped.

    Args:
        step: the step that the run is at. saved: saves its checkpoint, where that is the best so far.
        later: does what must wait for that checkpoint to be there. No other may be waited for.
    """
    kept = {checkpoint.name for checkpoint in list_checkpoints(run.folder)}
    rows = [row for row in run.read_metrics() if row["kind"] == "validation"]
    found = [
        Best(row["step"], peer, psnr, low_resolution(row))
        for row in rows
        if on_same_images(row, rows[-1])
        and (checkpoint_name(row["step"]) in kept or (saved and row["step"] == step))
        for peer, psnr in enumerate(psnr_of_peers(row["scores"]))
    ]
    # Of equals, the first.
    best = max(found, key=lambda one: inf if one.psnr is None else one.psnr, default=None)
    if best and best.step == step and saved:
        saved()
    later(lambda: write(run, best))


def write(run: Run, best: Best | None) -> None:
    """Writes best.json, or deletes it where there is no best. Raises UserError."""
    try:
        if best:
            write_best(run.folder, best)
        else:
            run.best_file.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{run.best_file} cannot be written ({error.strerror}); free space, then --resume"
        ) from error


def on_same_images(row: dict[str, Any], newest: dict[str, Any]) -> bool:
    """True unless a resumed run was given other images or another low resolution, whose scores say nothing of these.

    Images are told apart by what bicubic scores on them.
    """
    score, other = (one["scores"][BICUBIC]["psnr"] for one in (row, newest))
    is_alike = score == other or (score and other and isclose(score, other, rel_tol=1e-6))
    return bool(is_alike) and low_resolution(row) == low_resolution(newest)


def low_resolution(row: dict[str, Any]) -> str:
    """The low resolution that a row's scores are on: bicubic where an older run does not tell."""
    return str(row.get("low_resolution", BICUBIC))


def psnr_of_peers(scores: dict[str, dict[str, float | None]]) -> list[float | None]:
    return [score["psnr"] for name, score in scores.items() if name != BICUBIC]
