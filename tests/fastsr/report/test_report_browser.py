"""The report in a browser: it shows what it should, and works by keyboard, by pointer, on a phone.

Chromium without a window, from a file, without network.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastsr.report import write_report


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="needs selenium (pip install selenium)"
    )
    chromium = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    chromedriver = shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("needs chromium and chromedriver on PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=chromedriver)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, run: Path, tmp_path: Path) -> Any:
    """The page of a run, fresh, 1280 pixels wide."""
    resize(browser, 1280, 900)
    browser.get(write_report((run,), tmp_path / "report.html").as_uri())
    return browser


def resize(browser: Any, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def shown_part(browser: Any) -> float:
    """The visible part of the left picture, in percent of the stage, as the browser computed it."""
    clip = browser.execute_script(
        "return getComputedStyle(document.querySelector('.stage .before')).clipPath"
    )
    cut = re.fullmatch(r"inset\(0px (?:calc\()?([\d.]+)%\)? 0px 0px\)", clip)
    assert cut, clip
    return 100 - float(cut[1])


def sources(browser: Any) -> list[str]:
    script = "return ['before', 'after'].map(c => document.querySelector('.stage .' + c).src)"
    return browser.execute_script(script)


def test_browser_shows_all_images_without_complaint(opened: Any) -> None:
    widths = opened.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 32 and min(widths) > 0
    assert opened.get_log("browser") == []


def test_browser_slider_by_keyboard(opened: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    handle = opened.find_element(By.CSS_SELECTOR, ".stage input")
    assert shown_part(opened) == 50
    handle.send_keys(Keys.ARROW_RIGHT * 5)
    assert shown_part(opened) == 55
    handle.send_keys(Keys.HOME)
    assert shown_part(opened) == 0
    assert handle.get_attribute("aria-valuetext") == "0 % bicubic, the rest peer 0 (ML)"


def test_browser_slider_by_pointer(opened: Any) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    stage = opened.find_element(By.CSS_SELECTOR, ".stage")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    quarter = int(stage.size["width"] / 4)
    drag = ActionChains(opened).move_to_element(stage).click_and_hold()
    drag.move_by_offset(quarter, 0).perform()
    assert shown_part(opened) == pytest.approx(75, abs=1)
    ActionChains(opened).release().move_by_offset(-2 * quarter, 0).perform()
    assert shown_part(opened) == pytest.approx(75, abs=1)


def test_browser_selects_change_the_pictures(opened: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.select import Select

    left, right = (
        Select(one) for one in opened.find_elements(By.CSS_SELECTOR, ".choices select")[:2]
    )
    before = sources(opened)
    right.select_by_visible_text("original (HR)")
    after = sources(opened)
    assert after[0] == before[0] and after[1] != before[1]
    assert opened.find_element(By.CSS_SELECTOR, ".tag.right").text == "original (HR)"
    left.select_by_visible_text("peer 1 (ML)")
    assert sources(opened)[0] not in (*before, *after)
    assert (
        len(
            opened.find_elements(By.CSS_SELECTOR, ".stage")[0].find_elements(
                By.CSS_SELECTOR, ".before, .after"
            )
        )
        == 2
    )


def test_browser_theme(opened: Any) -> None:
    from selenium.webdriver.common.by import By

    def colour() -> str:
        return opened.execute_script("return getComputedStyle(document.body).backgroundColor")

    first, button = colour(), opened.find_element(By.ID, "theme")
    button.click()
    second = colour()
    button.click()
    assert first != second and colour() == first
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    opened.refresh()
    dark = colour()
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert dark == "rgb(21, 24, 28)"


@pytest.mark.parametrize("folder", ["run", "reproduction"])
def test_browser_phone(
    folder: str, opened: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    resize(opened, 360, 800)
    opened.get(write_report((request.getfixturevalue(folder),), tmp_path / "phone.html").as_uri())
    opened.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert opened.execute_script("return [document.documentElement.scrollWidth, innerWidth]") == [
        360,
        360,
    ]


def test_browser_everything_is_reached_by_tab(opened: Any) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    wanted = opened.execute_script(
        "window.wanted = [...document.querySelectorAll('a, button, select, input, summary, .scroll')];"
        "window.met = new Set(); document.addEventListener('focusin', event => met.add(event.target));"
        "return wanted.length"
    )
    ActionChains(opened).send_keys(Keys.TAB * (wanted + 5)).perform()
    missed = opened.execute_script(
        "return wanted.filter(one => !met.has(one)).map(one => one.outerHTML.slice(0, 80))"
    )
    assert wanted > 15 and missed == []


def test_browser_without_scripts_shows_the_default_pair(opened: Any) -> None:
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    opened.refresh()
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert shown_part(opened) == 50
    assert opened.execute_script("return document.getElementById('theme').hidden") is True
