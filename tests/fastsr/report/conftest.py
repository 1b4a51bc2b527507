"""Fixtures of the tests of reports."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastsr.report import write_report
from tests.fastsr.report.pages import resize
from tests.fastsr.report.report_fixture import write_reproduction, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return write_run(tmp_path_factory.mktemp("report") / "x4")


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return write_reproduction(tmp_path_factory.mktemp("report") / "reproduction")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run to damage."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


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
