"""Pages, read as a browser would."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fastsr.report import write_report


class Page(HTMLParser):
    """Every tag with its attributes, every table as rows of cells, and all text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.in_cell = self.in_script = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.in_script = tag in ("script", "style")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")
        self.in_script = False

    def handle_data(self, data: str) -> None:
        if self.in_script:
            return
        self.words.append(data)
        if self.in_cell:
            self.tables[-1][-1][-1] += f" {data} "

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def row(self, table: int, start: str) -> list[str]:
        rows = [
            row for row in self.tables[table] if row and " ".join(row[0].split()).startswith(start)
        ]
        return [" ".join(cell.split()).replace("−", "-") for cell in rows[0]]


def page_of(folder: Path, *more: Path) -> Page:
    out = folder.parent / "page" / "report.html"
    assert write_report((folder, *more), out) == out
    return Page(out.read_text(encoding="utf-8"))


def evaluation(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "evaluation" / "evaluation.json").read_text())


def assert_self_contained(page: Page) -> None:
    policy = [
        meta["content"]
        for meta in page.of("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy and policy[0] and policy[0].startswith("default-src 'none'; img-src data:;")
    assert page.of("img") and all(
        (image["src"] or "").startswith("data:image/") for image in page.of("img")
    )
    assert all(image["alt"] for image in page.of("img"))
    links = [
        value
        for _, attributes in page.tags
        for key, value in attributes.items()
        if key in ("href", "src")
    ]
    assert all(link and link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"https?://|url\(|@import|fetch\(|innerHTML", page.source)


def resize(browser: Any, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
