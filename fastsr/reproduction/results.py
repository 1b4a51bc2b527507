"""The results of a reproduction, as tables.json holds them: written and read by the same dataclasses, without torch.

A number that is not known is NaN here and null in the file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import Any

from fastsr.evaluation.results import null, number
from fastsr.files import read_json
from fastsr.reproduction.intervals import Difference, difference_from_json, difference_to_json
from fastsr.reproduction.mechanism import Mechanism

FORMAT = 1
JSON_NAME = "tables.json"
MOST_PEERS = 4
"""Of a variant, whose numbers stand one by one in a cell of a table."""


@dataclass(frozen=True)
class Variant:
    """One metric of one variant on one test set, mean over images."""

    peers: tuple[float, ...]
    mean: float
    """Of the peers."""
    paper: float
    """NaN where the paper gives none."""

    def peers_in_words(self, text: Callable[[float], str], between: str) -> str:
        """Every peer's number, or their range where several seeds have more than a cell holds."""
        known = [value for value in self.peers if isfinite(value)]
        if len(self.peers) <= MOST_PEERS or not known:
            return between.join(text(value) for value in self.peers[:MOST_PEERS])
        return f"{text(min(known))} to {text(max(known))}, {len(known)} peers"


@dataclass(frozen=True)
class Row:
    """One test set."""

    test_set: str
    images: int
    bicubic: float
    variants: Mapping[str, Variant]
    differences: Mapping[str, Difference]
    """By variant, without Independent."""

    @property
    def has_numbers(self) -> bool:
        """True where there is any, the paper's or ours."""
        ours = (value for one in self.variants.values() for value in (one.mean, one.paper))
        return any(isfinite(value) for value in (self.bicubic, *ours))


@dataclass(frozen=True)
class SeedDifference:
    """A variant minus Independent in one seed's training, and its 95 % interval over images."""

    run: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Contrast:
    """A variant minus Independent over seeds, averaged over images and test sets."""

    variant: str
    sets: tuple[str, ...]
    seeds: tuple[SeedDifference, ...]
    mean: float
    low: float = nan
    """The 95 % interval over seeds, by Student's t; NaN for one seed."""
    high: float = nan
    p: float = nan
    """Two-sided, of the mean's being zero."""
    corrected_p: float = nan
    """By Holm's method for all tests of the primary metric; NaN for other metrics."""
    tests: int = 0
    level: float = nan
    """Family-wise."""
    outcome: str = ""
    """better, worse, equal or undecided; empty for metrics that decide nothing."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One of the paper's tables: one metric at one scale."""

    scale: int
    metric: str
    unit: str
    higher_is_better: bool
    rows: tuple[Row, ...]
    seeds: int = 1
    noise: float = nan
    """Standard deviation between the peers of one variant."""
    contrasts: tuple[Contrast, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Everything that a reproduction has to show."""

    tables: tuple[Table, ...]
    mechanisms: tuple[Mechanism, ...] = ()
    """Opinions of the discriminators, one for each scale."""
    plan: Mapping[str, Any] = field(default_factory=dict[str, Any])
    notes: tuple[str, ...] = ()
    """Differences from the paper, in sentences."""
    runs: tuple[str, ...] = ()
    """Names of the runs' folders."""

    @staticmethod
    def read(file: Path) -> "Tables":
        """Raises OtherFormatError for a file of another version, and UserError for a damaged one."""
        return read_json(file, Tables.from_json, FORMAT, "run fastsr reproduce again")

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "plan": dict(self.plan),
            "tables": [table_to_json(table) for table in self.tables],
            **(
                {"discriminators": [one.to_json() for one in self.mechanisms]}
                if self.mechanisms
                else {}
            ),
            "notes": list(self.notes),
            "runs": list(self.runs),
        }

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Tables":
        """Raises KeyError, TypeError, ValueError or AttributeError where the content is not as it should be."""
        return Tables(
            tables=tuple(table_from_json(table) for table in content["tables"]),
            mechanisms=tuple(map(Mechanism.from_json, content.get("discriminators") or ())),
            plan=dict((content.get("plan") or {}).items()),
            notes=tuple(str(note) for note in content.get("notes") or ()),
            runs=tuple(folder_name(str(name)) for name in content["runs"]),
        )


def folder_name(name: str) -> str:
    """Raises ValueError for what would lead to another folder."""
    if "/" in name or "\\" in name or name in ("", ".", ".."):
        raise ValueError(f"the run {name!r} is not the name of a folder")
    return name


def table_to_json(table: Table) -> dict[str, Any]:
    return {
        "scale": table.scale,
        "metric": table.metric,
        "unit": table.unit,
        "higher_is_better": table.higher_is_better,
        "seeds": table.seeds,
        "rows": [row_to_json(row) for row in table.rows],
        "noise": null(table.noise),
        **(
            {"contrasts": [contrast_to_json(one) for one in table.contrasts]}
            if table.contrasts
            else {}
        ),
    }


def table_from_json(table: dict[str, Any]) -> Table:
    return Table(
        scale=int(table["scale"]),
        metric=str(table["metric"]),
        unit=str(table.get("unit") or ""),
        higher_is_better=bool(table["higher_is_better"]),
        rows=tuple(row_from_json(row) for row in table["rows"]),
        seeds=int(table.get("seeds", 1)),
        noise=number(table.get("noise")),
        contrasts=tuple(contrast_from_json(one) for one in table.get("contrasts") or ()),
    )


def row_to_json(row: Row) -> dict[str, Any]:
    return {
        "set": row.test_set,
        "images": row.images,
        "bicubic": null(row.bicubic),
        "variants": {name: variant_to_json(variant) for name, variant in row.variants.items()},
        "differences": {name: difference_to_json(one) for name, one in row.differences.items()},
    }


def row_from_json(row: dict[str, Any]) -> Row:
    return Row(
        str(row["set"]),
        int(row["images"]),
        number(row.get("bicubic")),
        {str(name): variant_from_json(variant) for name, variant in row["variants"].items()},
        {
            str(name): difference_from_json(one)
            for name, one in (row.get("differences") or {}).items()
        },
    )


def variant_to_json(variant: Variant) -> dict[str, Any]:
    return {
        "peers": [null(peer) for peer in variant.peers],
        "mean": null(variant.mean),
        "paper": null(variant.paper),
    }


def variant_from_json(variant: dict[str, Any]) -> Variant:
    peers = tuple(number(value) for value in variant.get("peers") or ())
    return Variant(peers, number(variant.get("mean")), number(variant.get("paper")))


CONTRAST_NUMBERS = ("mean", "low", "high", "p", "corrected_p", "level")


def contrast_to_json(one: Contrast) -> dict[str, Any]:
    about = {
        "variant": one.variant,
        "sets": list(one.sets),
        "tests": one.tests,
        "outcome": one.outcome,
    }
    seeds = [
        {"run": s.run, "mean": null(s.mean), "low": null(s.low), "high": null(s.high)}
        for s in one.seeds
    ]
    return {
        **about,
        "seeds": seeds,
        **{name: null(getattr(one, name)) for name in CONTRAST_NUMBERS},
    }


def contrast_from_json(one: dict[str, Any]) -> Contrast:
    seeds = tuple(
        SeedDifference(
            str(seed["run"]), *(number(seed.get(key)) for key in ("mean", "low", "high"))
        )
        for seed in one["seeds"]
    )
    numbers = {name: number(one.get(name)) for name in CONTRAST_NUMBERS}
    sets = tuple(str(name) for name in one["sets"])
    tests, outcome = int(one.get("tests", 0)), str(one.get("outcome") or "")
    return Contrast(str(one["variant"]), sets, seeds, tests=tests, outcome=outcome, **numbers)
