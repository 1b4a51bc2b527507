"""Evaluations that a reproduction finds, and whether they are those that it wants."""

from collections.abc import Sequence

from fastsr.config.settings import TrainConfig
from fastsr.evaluation.evaluate import open_sets, to_score
from fastsr.evaluation.results import JSON_NAME as EVALUATION
from fastsr.evaluation.results import Evaluation, ScoredSet
from fastsr.files import OtherFormatError
from fastsr.reproduction.averaging import earlier_folder
from fastsr.reproduction.plan import Plan, folder_of


def is_evaluated(plan: Plan, config: TrainConfig, step: int, metrics: Sequence[str]) -> bool:
    """True if a checkpoint of a run is evaluated on the plan's sets, by those metrics or more.

    Raises UserError where the evaluation's file is damaged.
    """
    done = read_evaluation(config, step)
    return bool(done and covers(done, wanted_sets(plan, config), metrics))


def wanted_sets(plan: Plan, config: TrainConfig) -> list[ScoredSet]:
    """The test sets as an evaluation of a run is to have them, without notes."""
    request = plan.request(config)
    sets = open_sets(request, config.model.scale, plan.form)
    return [to_score(request, images, (), ()) for images in sets]


def covers(done: Evaluation, sets: Sequence[ScoredSet], metrics: Sequence[str] = ()) -> bool:
    """True if an evaluation has those metrics on those sets, and perceptual ones on the images where that is wanted."""
    sizes = [[(scored.name, scored.images) for scored in some] for some in (done.sets, sets)]
    enough = sizes[0] == sizes[1] and all(
        not wanted.perceptual
        or (scored.perceptual and scored.perceptual_images == wanted.perceptual_images)
        for scored, wanted in zip(done.sets, sets, strict=True)
    )
    return enough and set(metrics) <= set(done.metrics)


def read_evaluation(config: TrainConfig, step: int | None = None) -> Evaluation | None:
    """The evaluation of a checkpoint of a finished run, by default the last; None where there is none, or one of other
    steps or by another version.

    Raises UserError where the file is damaged.
    """
    run, step = folder_of(config), step or config.total_steps
    folder = run / "evaluation" if step == config.total_steps else earlier_folder(run, step)
    file = folder / EVALUATION
    if not file.is_file():
        return None
    try:
        evaluation = Evaluation.read(file)
    except OtherFormatError:
        return None
    return evaluation if evaluation.step == step else None
