"""Words that are refused before tyro parses them: the same ones that tyro refuses, so that its boxes are never seen."""

import pytest
import tyro
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastsr.cli.arguments import EvalArguments, FetchArguments, TrainArguments
from fastsr.cli.configuration import TYRO, checked_words, parse
from fastsr.cli.upscale import UpscaleArguments
from fastsr.errors import UserError

VALUES = ("a", "1", "-1", "-inf", "2.5", "4", "best", "psnr", "set5", "paper", "-", "--")
OPTIONS = {
    TrainArguments: ("--batch", "--lr", "--starts", "--amp", "--no-amp", "--scale", "--content-weight", "--data",
                     "--mixing-matrix", "--skip_bad", "--recipe=paper", "--lr=-1", "--data=a", "--amp=1", "-x"),
    EvalArguments: ("--sets", "--sets=a", "--metrics", "--lr", "--amp", "--out", "--out=--x", "--nonsense"),
    UpscaleArguments: ("--peer", "--peer=best", "--out", "--device", "--device=-", "--weights"),
    FetchArguments: ("--root", "--cache", "--root=", "--names"),
}  # fmt: skip


def ours(command: type, words: list[str]) -> list[str] | None:
    """The words as tyro takes them; None where they are refused."""
    try:
        return checked_words("command", command, words)
    except UserError:
        return None


def parsed(command: type, words: list[str]) -> object | None:
    """None where tyro refuses the words."""
    try:
        return tyro.cli(command, args=words, config=TYRO, console_outputs=False)
    except SystemExit:
        return None


def lacks_words(arguments: object) -> bool:
    """True where none of the words is told by its place, which tyro lets pass."""
    return any(getattr(arguments, name, None) == () for name in ("models", "images", "names"))


@pytest.mark.parametrize("command", OPTIONS)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(draw=st.data())
def test_we_refuse_what_tyro_refuses(command: type, draw: st.DataObject) -> None:
    word = st.sampled_from((*VALUES, *OPTIONS[command]))
    words = draw.draw(st.lists(word, max_size=6))
    usable, by_tyro = ours(command, words), parsed(command, words)
    if usable is None:
        assert by_tyro is None or lacks_words(by_tyro)
    else:
        by_us = parsed(command, usable)
        assert by_us is not None
        assert by_tyro in (by_us, None)


def test_an_image_may_stand_behind_an_option() -> None:
    words = ["run", "a.png", "--peer", "1", "b.png"]
    assert parsed(UpscaleArguments, words) is None
    arguments = parse("upscale", UpscaleArguments, words)
    assert (arguments.images, arguments.peer) == (("a.png", "b.png"), 1)
