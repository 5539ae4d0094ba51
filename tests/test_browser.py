"""The pages as a reader has them: in a real browser, from files, with mouse and keyboard, light and dark."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from io import StringIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_results import Fake, project, write_images
from jinja2 import Environment, FileSystemLoader

from lockstep import report
from lockstep.report import build, runs
from lockstep.report.grids import Grid, Group

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]' -c constraints.txt"
)
NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None,
    reason="no browser on the path: install Chromium (`apt install chromium`) or Google Chrome",
)
CONFIG = """
results: {root}/results
reports: {root}/reports
backends: [alpha, beta, ghost]
seeds: [0, 1, 2]
base:
  model:
    layers:
      - {{kind: conv2d, filters: 2, kernel: 5}}
      - {{kind: activation}}
      - {{kind: flatten}}
      - {{kind: dense, units: 10}}
  training: {{epochs: 2}}
experiments:
  plain: {{}}
  tanh: {{model: {{activation: tanh}}}}
  a_long_name_that_somebody_gave_to_the_best_of_all_networks: {{model: {{activation: swish}}}}
attacks: {{images: 10, names: [fgsm, pgd], eps: [0.1], shown: 0.1, steps: 2}}
speed: {{threads: [1]}}
"""
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A report with a run that diverged, one that failed and a backend that is not installed."""
    with project(tmp_path_factory.mktemp("browser"), CONFIG) as config:
        made = Fake(config)
        for place, name in enumerate(config.experiments):
            for backend in ("alpha", "beta"):
                for seed in range(3):
                    cell = made.cell(name, backend, seed)
                    made.write(cell, wrong=(place + seed + (backend == "beta") * (seed == 2)) % 5)
                    made.attack(cell, {"pgd=0.1": 0.5, "worst=0.1": 0.5})
        made.write(made.cell("tanh", "alpha", 1), wrong=9, outcome="diverged")
        shutil.rmtree(config.folder(made.cell("tanh", "beta", 2)))
        made.fail(made.cell("tanh", "beta", 2))
        write_images(config, np.zeros((10, 28, 28, 1), np.uint8))
        yield build(runs.read(config))


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def tab(browser: playwright.Browser) -> Iterator[playwright.Page]:
    """Fails the test on an error of the page, and on anything that it loads beside files."""
    said: list[str] = []
    opened = browser.new_page(viewport=WIDE)
    opened.set_default_timeout(20_000)
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    opened.on("request", lambda request: said.append(request.url) if _is_foreign(request.url) else None)
    yield opened
    opened.close()
    assert said == []


def _is_foreign(url: str) -> bool:
    return not url.startswith(("file://", "data:", "blob:"))


def pages(tab: playwright.Page, index: Path) -> list[str]:
    """The files that the navigation of the summary names."""
    tab.goto(index.as_uri())
    return tab.eval_on_selector_all("nav.site a", "links => links.map(link => link.getAttribute('href'))")


def test_every_page_has_the_navigation_and_is_marked_in_it(tab: playwright.Page, index: Path):
    every = pages(tab, index)
    main = ["index", "conformance", "effects", "robustness", "speed", "environment"]
    assert every[:6] == [f"{name}.html" for name in main]
    assert sorted(every) == sorted(path.name for path in index.parent.glob("*.html"))
    for name in every:
        tab.goto(index.with_name(name).as_uri())
        assert pages_here(tab) == every
        assert tab.eval_on_selector_all(
            "[aria-current=page]", "all => all.map(a => a.pathname.split('/').pop())"
        ) == [name]


def pages_here(tab: playwright.Page) -> list[str]:
    return tab.eval_on_selector_all("nav.site a", "links => links.map(link => link.getAttribute('href'))")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_page_is_wider_than_its_window(tab: playwright.Page, index: Path, size: playwright.ViewportSize):
    for name in pages(tab, index):
        tab.set_viewport_size(size)
        tab.goto(index.with_name(name).as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"], name


def test_the_summary_answers_on_one_screen(tab: playwright.Page, index: Path):
    tab.goto(index.as_uri())
    cards = tab.locator(".finding")
    assert cards.locator("h2").all_inner_texts() == [
        "Do the backends agree?",
        "What works best?",
        "Which is fastest here?",
        "Can I trust this run?",
    ]
    for card in cards.all():
        box = card.bounding_box()
        assert box
        assert box["y"] + box["height"] <= WIDE["height"]
        assert card.locator("p.answer").inner_text()
        assert card.locator("a").count()
    hidden = "all => all.filter(each => each.scrollWidth > each.clientWidth).length"
    assert tab.eval_on_selector_all(".finding .scroll", hidden) == 0, "columns that one has to scroll to"


def test_links_lead_somewhere(tab: playwright.Page, index: Path):
    targets: set[tuple[Path, str]] = set()
    ids: dict[str, list[str]] = {}
    for name in pages(tab, index):
        tab.goto(index.with_name(name).as_uri())
        ids[name] = tab.eval_on_selector_all("[id]", "all => all.map(each => each.id)")
        for link in tab.eval_on_selector_all("a", "all => all.map(each => each.getAttribute('href'))"):
            file, _, place = link.partition("#")
            targets.add((index.parent / (file or name), place))
    for path, place in targets:
        assert path.is_file(), path
        assert not place or place in ids[path.name], (path, place)
    linked = {path.relative_to(index.parent) for path, _ in targets}
    made = {path.relative_to(index.parent) for path in index.parent.glob("tables/*")}
    assert made <= linked, "every table can be had"


def test_pictures_and_buttons_have_names_and_headings_are_in_order(tab: playwright.Page, index: Path):
    for name in pages(tab, index):
        tab.goto(index.with_name(name).as_uri())
        pictures = tab.locator("main svg[role=img], main img")
        assert pictures.count() == tab.locator("main svg:not(svg svg), main img").count()
        alts = pictures.evaluate_all("all => all.map(e => e.getAttribute('aria-label') ?? e.alt)")
        assert all(len(alt) > 20 for alt in alts), name
        assert tab.locator("button").evaluate_all(
            "all => all.every(each => (each.getAttribute('aria-label') ?? each.textContent).trim())"
        )
        levels = tab.locator("h1, h2, h3, h4").evaluate_all("all => all.map(each => Number(each.tagName[1]))")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels)), name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(tab: playwright.Page, index: Path, scheme: str):
    """WCAG 2.2, 1.4.3: a contrast of 4.5."""
    tab.emulate_media(color_scheme=scheme)
    tab.goto(index.as_uri())
    paper, band = (
        tab.locator(place).first.evaluate("each => getComputedStyle(each).backgroundColor")
        for place in ("body", ".finding")
    )
    assert (luminance(paper) > 0.5) == (scheme == "light")
    on = {paper: ("main > section > p", "figcaption", "main a", "th", ".csv")}
    on |= {band: (".finding p.answer", ".finding .note", ".finding a", ".finding h2", ".finding .csv")}
    for ground, places in on.items():
        for place in places:
            text = tab.locator(place).first.evaluate("each => getComputedStyle(each).color")
            light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, place


def luminance(colour: str) -> float:
    """Relative, of "rgb(12, 34, 56)"."""
    shares = np.array([int(part) / 255 for part in re.findall(r"\d+", colour)[:3]])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


NUMBERS = [
    "−0.5",
    "+0.25",
    "1,234",
    "⚠ ≤ 12",
    "–",
    "9 %",
    "1.9e-15",
    "−1.20 to +0.60",
    "n = 1: no interval",
    "±0.2",
]
UPWARDS = [
    "−1.20 to +0.60",
    "−0.5",
    "1.9e-15",
    "±0.2",
    "+0.25",
    "9 %",
    "⚠ ≤ 12",
    "1,234",
    "–",
    "n = 1: no interval",
]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A page of one table in two groups, with the script of all pages."""
    folder = Path(report.__file__).parent
    engine = Environment(loader=FileSystemLoader(folder), autoescape=True)
    engine.filters["unbroken"] = str
    rows = [(f"item {10 - place}", value) for place, value in enumerate(NUMBERS)]
    grid = Grid(
        ("what", "value"),
        1,
        [Group("first", "a note", rows), Group('sec"ond', rows=[("x", "2"), ("y", "1")])],
    )
    table = engine.get_template("macros.html.j2").module.table(grid)  # type: ignore[attr-defined]
    page = tmp_path / "sample.html"
    script = (folder / "tables.js").read_text()
    head = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
    page.write_text(f"{head}<h2>One, two</h2>{table}<script>{script}</script>")
    return page


def column(tab: playwright.Page, number: int) -> list[str]:
    return tab.locator(f"tbody td:nth-child({number})").all_inner_texts()


def test_numbers_sort_as_numbers_within_their_group(tab: playwright.Page, sample: Path):
    tab.goto(sample.as_uri())
    head, click = tab.locator("th").nth(1), tab.get_by_role("button", name="value").click
    click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(tab, 2) == [*UPWARDS, "1", "2"]
    click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(tab, 2) == [*UPWARDS[-3::-1], *UPWARDS[-2:], "2", "1"], "what is missing stays last"
    click()
    assert head.get_attribute("aria-sort") is None
    assert column(tab, 2) == [*NUMBERS, "2", "1"]
    assert tab.locator("tbody tr:first-child th.group").count() == 2, "titles stay on top"


def test_sorting_by_keyboard_and_names_with_numbers(tab: playwright.Page, sample: Path):
    tab.goto(sample.as_uri())
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "what"
    tab.keyboard.press("Enter")
    assert tab.locator("th").first.get_attribute("aria-sort") == "ascending"
    assert column(tab, 1)[:10] == [f"item {n}" for n in range(1, 11)]
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")
    assert tab.locator("[aria-sort]").all_inner_texts() == ["value"], "one column at a time"


def test_csv_is_the_table_as_shown(tab: playwright.Page, sample: Path, tmp_path: Path):
    tab.goto(sample.as_uri())
    tab.get_by_role("button", name="value").click()
    with tab.expect_download() as waiting:
        tab.get_by_role("button", name="Save this table as CSV: One, two").click()
    assert waiting.value.suggested_filename == "one-two.csv"
    waiting.value.save_as(tmp_path / "saved.csv")
    text = (tmp_path / "saved.csv").read_text(encoding="utf-8-sig")
    saved = pd.read_csv(StringIO(text), dtype=str)
    assert list(saved.columns) == ["group", "what", "value"]
    assert list(saved.value) == [text.replace("−", "-") for text in [*UPWARDS, "1", "2"]]
    assert list(saved.group) == ["first"] * 10 + ['sec"ond'] * 2


def test_every_table_of_the_report_sorts_and_saves(tab: playwright.Page, index: Path):
    for name in pages(tab, index):
        tab.goto(index.with_name(name).as_uri())
        tables = tab.locator("table").count()
        assert tab.locator("button.csv").count() == tables
        heads = tab.locator("thead th").evaluate_all(
            "all => all.filter(each => each.textContent.trim()).length"
        )
        assert tab.locator("thead button.sort").count() == heads
        before = tab.locator("td").evaluate_all("all => all.map(each => each.textContent).sort()")
        tab.locator("thead button.sort").evaluate_all("all => all.forEach(each => each.click())")
        assert tab.locator("td").evaluate_all("all => all.map(each => each.textContent).sort()") == before


def test_without_a_script_the_tables_are_there(browser: playwright.Browser, index: Path):
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(index.as_uri())
    assert opened.locator("table").count() > 5
    assert opened.locator("button").count() == 0
    context.close()
