"""The page shows what the discriminators of a reproduction say."""

import shutil
from pathlib import Path

from fastsr.reproduction.mechanism import mechanism, seed_values
from tests.fastsr.report.pages import page_of
from tests.fastsr.report.report_fixture import SIX, VARIANTS, change, training_rows


def test_the_page_has_a_line_for_each_quantity(reproduction: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(reproduction, tmp_path / "copy")
    seeds = [seed_values(training_rows(SIX.peers, until), VARIANTS) for until in (2000, 2500)]
    found = mechanism(4, seeds)
    change(folder / "tables.json", discriminators=[found.to_json()])
    source = page_of(folder).source
    assert "What the discriminators say" in source
    assert "over the last 200 steps of training; means over peers and 2 seeds" in source
    bce = found.opinions[0]
    assert f">{bce.values['ML*'].mean:.3f}<br>" in source
    low, high = (
        f"{value:+.3f}".replace("-", "−")
        for value in (bce.differences["ML"].low, bce.differences["ML"].high)
    )
    assert f"<small>{low} to {high}</small>" in source
    assert "What the discriminators say" not in page_of(reproduction).source
