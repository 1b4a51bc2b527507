"""tables.json of a reproduction as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

BASELINE = "Independent"


@dataclass(frozen=True)
class Variant:
    peers: tuple[float, ...]
    mean: float
    paper: float
    """NaN where the paper gives none."""


@dataclass(frozen=True)
class Difference:
    """A variant minus Independent, mean over images; the 95 % interval is NaN where it cannot be given."""

    mean: float
    low: float
    high: float

    def verdict(self, higher_is_better: bool) -> str:
        """better, worse, within (zero lies in the interval) or open (there is no interval)."""
        if not (isfinite(self.low) and isfinite(self.high)):
            return "open"
        if self.low <= 0 <= self.high:
            return "within"
        return "better" if (self.low > 0) == higher_is_better else "worse"


@dataclass(frozen=True)
class Row:
    test_set: str
    images: int
    bicubic: float
    variants: Mapping[str, Variant]
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class Table:
    scale: int
    metric: str
    unit: str
    higher_is_better: bool
    rows: tuple[Row, ...]
    noise: float
    """Standard deviation between the peers of one variant; NaN where it cannot be given."""

    @property
    def variants(self) -> tuple[str, ...]:
        """In the order of the rows, Independent first."""
        names = dict.fromkeys(name for row in self.rows for name in row.variants)
        return tuple(sorted(names, key=lambda name: name != BASELINE))


@dataclass(frozen=True)
class Tables:
    plan: Mapping[str, Any]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    runs: tuple[str, ...]


def build_tables(content: dict[str, Any]) -> Tables:
    """Raises KeyError, TypeError, ValueError or AttributeError where the content is not as it should be."""
    runs = tuple(str(name) for name in content["runs"])
    for name in runs:
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            raise ValueError(f"the run {name!r} is not the name of a folder")
    return Tables(
        plan=dict((content.get("plan") or {}).items()),
        tables=tuple(build_table(table) for table in content["tables"]),
        notes=tuple(str(note) for note in content.get("notes") or ()),
        runs=runs,
    )


def build_table(table: dict[str, Any]) -> Table:
    return Table(
        int(table["scale"]),
        str(table["metric"]),
        str(table.get("unit") or ""),
        bool(table["higher_is_better"]),
        tuple(build_row(row) for row in table["rows"]),
        optional(table.get("noise")),
    )


def build_row(row: dict[str, Any]) -> Row:
    return Row(
        str(row["set"]),
        int(row["images"]),
        optional(row.get("bicubic")),
        {str(name): build_variant(variant) for name, variant in row["variants"].items()},
        {
            str(name): Difference(optional(d.get("mean")), optional(d.get("low")), optional(d.get("high")))
            for name, d in (row.get("differences") or {}).items()
            if d is not None
        },
    )


def build_variant(variant: dict[str, Any]) -> Variant:
    peers = tuple(optional(value) for value in variant.get("peers") or ())
    return Variant(peers, optional(variant.get("mean")), optional(variant.get("paper")))


def optional(value: Any) -> float:
    """NaN for null and for what is not finite."""
    return nan if value is None or not isfinite(value) else float(value)
