"""Charts and tables in a browser: values under the pointer, lines switched by their legend, tables that fit."""

from pathlib import Path
from typing import Any

import pytest

from fastsr.report import write_report
from tests.fastsr.report.pages import evaluation, resize
from tests.fastsr.report.report_fixture import SIX, change, write_run

SHOWN = "return [...document.querySelectorAll('.values')].filter(box => !box.hidden).map(box => box.innerText)"
METRICS = ("psnr", "psnr_rgb", "ssim", "niqe", "pi")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six peers, four test sets, five metrics."""
    folder = write_run(tmp_path_factory.mktemp("wide") / "six", SIX)
    file = folder / "evaluation" / "evaluation.json"
    value = dict(zip(METRICS, (28.43, 26.12, 0.8101, 6.123, 5.321), strict=True))
    models = evaluation(folder)["models"]
    names = ("Set5", "Set14", "BSD100", "Urban100")
    change(
        file,
        metrics=METRICS,
        sets={name: {"images": 100, "notes": []} for name in names},
        means={name: dict.fromkeys(models, value) for name in names},
    )
    return folder


def first_chart(browser: Any) -> Any:
    from selenium.webdriver.common.by import By

    chart = browser.find_element(By.CSS_SELECTOR, "#run-0-losses svg[data-x]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    return chart


def test_browser_values_under_the_pointer(opened: Any) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    chart = first_chart(opened)
    ActionChains(opened).move_to_element_with_offset(chart, 40, 0).perform()
    (text,) = opened.execute_script(SHOWN)
    assert text.startswith("step ") and "peer 0 (ML)" in text and "peer 1 (ML)" in text
    points = dict(
        point.split(",")
        for point in opened.execute_script(
            "return arguments[0].querySelector('.series[data-points*=\\',\\']').dataset.points",
            chart,
        ).split()
    )
    step = text.splitlines()[0].removeprefix("step ").replace(",", "")
    assert float(points[step]) == pytest.approx(float(text.split()[5]), rel=1e-3)
    heading = opened.find_element(By.CSS_SELECTOR, "#run-0-losses h2")
    ActionChains(opened).move_to_element(heading).perform()
    assert opened.execute_script(SHOWN) == []


def test_browser_values_by_keyboard(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    chart = first_chart(opened)
    chart.send_keys(Keys.HOME)
    (first,) = opened.execute_script(SHOWN)
    chart.send_keys(Keys.ARROW_RIGHT)
    (second,) = opened.execute_script(SHOWN)
    assert first.startswith("step 25") and second.startswith("step 50")
    chart.send_keys(Keys.ESCAPE)
    assert opened.execute_script(SHOWN) == []


def test_browser_the_legend_switches_peers(opened: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    hidden = (
        "return [...document.querySelectorAll('#run-0-losses .series')].filter("
        "line => getComputedStyle(line).display === 'none').map(line => line.dataset.series)"
    )
    key = opened.find_element(By.CSS_SELECTOR, "#run-0-losses .key")
    assert opened.execute_script(hidden) == []
    key.send_keys(Keys.SPACE)
    assert set(opened.execute_script(hidden)) == {"peer 0 (ML)"}
    assert key.get_attribute("aria-pressed") == "false"
    chart = first_chart(opened)
    chart.send_keys(Keys.HOME)
    (text,) = opened.execute_script(SHOWN)
    assert "peer 1 (ML)" in text and "peer 0 (ML)" not in text
    key.click()
    assert opened.execute_script(hidden) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_browser_tables_fit_or_scroll_inside_themselves(
    width: int, opened: Any, wide: Path, reproduction: Path, tmp_path: Path
) -> None:
    resize(opened, width, 900)
    page = write_report((wide, reproduction), tmp_path / "wide.html")
    opened.get(page.as_uri())
    excess = opened.execute_script(
        "return [...document.querySelectorAll('.scroll:has(table)')].map(box => box.scrollWidth - box.clientWidth)"
    )
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    assert (max(excess) <= 0) if width == 1280 else (max(excess) > 0)
    for box in opened.execute_script("return [...document.querySelectorAll('.scroll:has(table)')]"):
        end = opened.execute_script(
            "const box = arguments[0]; box.scrollLeft = 1e6;"
            "return box.querySelector('tr:last-child > :last-child').getBoundingClientRect().right", box
        )  # fmt: skip
        assert end <= width


def test_browser_no_label_of_a_chart_lies_on_a_line_or_another_label(opened: Any) -> None:
    overlaps = opened.execute_script(
        """
        const meet = (a, b) =>
          a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
        const found = [];
        for (const svg of document.querySelectorAll('.chart svg')) {
          const texts = [...svg.querySelectorAll('text')].map(one => one.getBoundingClientRect());
          texts.forEach((one, k) => { if (texts.slice(k + 1).some(other => meet(one, other))) found.push('text'); });
          for (const line of svg.querySelectorAll('.line'))
            if (texts.some(one => meet(one, line.getBoundingClientRect()))) found.push('line');
        }
        return found
        """
    )
    assert overlaps == []


def test_browser_without_scripts_every_line_is_shown(opened: Any) -> None:
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    opened.refresh()
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    states = opened.execute_script(
        "return [...document.querySelectorAll('.series')].map(line => getComputedStyle(line).display)"
    )
    assert len(states) > 20 and set(states) == {"inline"}
