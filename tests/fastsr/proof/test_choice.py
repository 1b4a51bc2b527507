"""The choice between equal settings, by timings that were recorded, and by a clock that stands still but for trials."""

from collections.abc import Mapping
from dataclasses import asdict, replace

import pytest

from fastsr.proof.choice import Search, Varied, Way

DEFAULT = Way(peer_streams=2)
EAGER_D = replace(DEFAULT, compiled=("generator", "content"))
STREAMS, BOTH = Varied(streams=(1, 2)), Varied(streams=(1, 2), layouts=(False,))


class Machine:
    """Takes the recorded milliseconds of each way, or fails; other ways take as long as the default."""

    def __init__(
        self, recorded: Mapping[Way, float | Exception], first: float = 40.0, later: float = 5.0
    ) -> None:
        self.recorded, self.first, self.later = recorded, first, later
        self.seconds = 0.0
        self.asked: list[Way] = []

    def __call__(self, way: Way) -> float:
        self.seconds += self.later if self.asked else self.first
        self.asked.append(way)
        answer = self.recorded.get(way, 10.0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def search(machine: Machine, limit: float = 90.0) -> Search:
    return Search(machine, lambda: machine.seconds, limit)


def test_the_default_stays_where_nothing_is_faster() -> None:
    machine = Machine({replace(DEFAULT, peer_streams=1): 14.0, EAGER_D: 9.95})
    assert search(machine).run(DEFAULT, BOTH) == DEFAULT


def test_changes_that_help_are_kept_together() -> None:
    """One stream, and D eager on top of that; three networks are tried, and the other layout last."""
    one = replace(DEFAULT, peer_streams=1)
    both = replace(EAGER_D, peer_streams=1)
    machine = Machine({DEFAULT: 10.0, one: 9.0, both: 8.0})
    assert search(machine).run(DEFAULT, BOTH) == both
    assert machine.asked == [
        DEFAULT,
        one,
        replace(one, compiled=("discriminator", "content")),
        both,
        replace(both, compiled=("generator",)),
        replace(both, channels_last=False),
    ]


def test_a_way_that_fails_is_left_out() -> None:
    failing = replace(DEFAULT, peer_streams=1)
    machine = Machine({failing: RuntimeError("out of shared memory\nmore"), EAGER_D: 8.0})
    found = search(machine)
    assert found.run(DEFAULT, STREAMS) == EAGER_D
    (row,) = (row for row in found.rows if row.way == failing)
    assert (row.milliseconds, row.note) == (None, "failed: out of shared memory")


def test_a_default_that_fails_is_left_out_too() -> None:
    machine = Machine({DEFAULT: RuntimeError("no compiler"), EAGER_D: 12.0})
    assert search(machine).run(DEFAULT, Varied()) in [
        row for row in machine.asked if row != DEFAULT
    ]


def test_nothing_is_chosen_where_nothing_works() -> None:
    class Broken(Machine):
        def __call__(self, way: Way) -> float:
            raise RuntimeError("no")

    assert search(Broken({})).run(DEFAULT, BOTH) is None


def test_time_runs_out() -> None:
    """Compiling for the first time does not count; the other layout would be compiled anew, and is not begun."""
    machine = Machine({}, first=80.0, later=10.0)
    found = search(machine, limit=90.0)
    found.run(DEFAULT, BOTH)
    assert [row.note for row in found.rows] == ["", "", "", "", "", "not tried: out of time"]
    slow = Machine({}, first=80.0, later=40.0)
    found = search(slow, limit=90.0)
    found.run(DEFAULT, BOTH)
    assert len(slow.asked) == 3 and slow.seconds - slow.first <= 90


def test_the_tail_is_tried_before_what_is_compiled_anew() -> None:
    """By rows it is faster, and stays so in what follows."""
    rows = replace(DEFAULT, tail_by_rows=True)
    machine = Machine({DEFAULT: 10.0, rows: 9.0, replace(rows, channels_last=False): 12.0})
    varied = Varied(tails=(True,), layouts=(False,))
    assert search(machine).run(DEFAULT, varied) == rows
    assert machine.asked[1] == rows and machine.asked[-1] == replace(rows, channels_last=False)


def test_templates_are_timed_for_one_network_after_the_other() -> None:
    """Those of G help, those of the content network do not; D has no compiled convolutions."""
    for_g = replace(DEFAULT, templates=("generator",))
    for_both = replace(DEFAULT, templates=("generator", "content"))
    machine = Machine({DEFAULT: 10.0, for_g: 9.0, for_both: 11.0})
    assert search(machine).run(DEFAULT, Varied(templates=True)) == for_g
    assert machine.asked[-2:] == [for_g, for_both]


def test_templates_are_timed_of_compiled_networks_only() -> None:
    eager_g = replace(DEFAULT, compiled=("discriminator", "content"))
    machine = Machine({eager_g: 8.0})
    search(machine).run(DEFAULT, Varied(templates=True))
    assert {way.templates for way in machine.asked} == {(), ("content",)}
    given = replace(DEFAULT, templates=("generator", "content"))
    machine = Machine({})
    search(machine).run(given, Varied())
    assert all(set(way.templates) <= set(way.compiled) for way in machine.asked)


def test_templates_that_take_long_are_not_begun_again() -> None:
    """The first is expected to take as long as compiling did; the second, as long as the first one took."""

    class Slow(Machine):
        def __call__(self, way: Way) -> float:
            self.seconds += 55.0 * bool(way.templates)
            return super().__call__(way)

    found = search(Slow({}, first=20.0, later=5.0))
    found.run(DEFAULT, Varied(templates=True))
    notes = {row.way.templates: row.note for row in found.rows}
    assert notes == {(): "", ("generator",): "", ("content",): "not tried: out of time"}


def test_a_layout_or_templates_that_fail_are_left_out() -> None:
    failing = {
        replace(DEFAULT, templates=("generator",)): RuntimeError("no valid triton configs"),
        replace(DEFAULT, tail_by_rows=True): RuntimeError("cuDNN has no plan"),
        replace(DEFAULT, channels_last=False): RuntimeError("out of memory"),
    }
    found = search(Machine(failing))
    varied = Varied(tails=(True,), layouts=(False,), templates=True)
    assert found.run(DEFAULT, varied) == DEFAULT
    assert {row.way for row in found.rows if row.note.startswith("failed")} == set(failing)
    assert replace(DEFAULT, templates=("content",)) in [row.way for row in found.rows]


def test_equal_settings_are_tried_once() -> None:
    machine = Machine({})
    search(machine).run(replace(DEFAULT, compiled=()), STREAMS)
    assert len(machine.asked) == 2


def test_ways_are_kept_as_json_and_shown_in_words() -> None:
    assert Way.read(asdict(EAGER_D)) == EAGER_D
    assert str(EAGER_D) == "2 streams, channels_last, compiled: generator, content"
    rich = replace(EAGER_D, tail_by_rows=True, fused_norms=False, templates=("content",))
    assert Way.read(asdict(rich)) == rich
    assert (
        str(rich)
        == "2 streams, channels_last, tail by rows, torch's norms, compiled: generator, content, templates: content"
    )
    assert (
        str(Way(peer_streams=1, channels_last=False, compiled=()))
        == "1 stream, contiguous, compiled: nothing"
    )
    with pytest.raises(KeyError):
        Way.read({"peer_streams": 2})
