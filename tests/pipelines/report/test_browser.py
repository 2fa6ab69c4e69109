"""The report in a real browser: headless Chromium through Playwright."""

import shutil
import time

import numpy as np
import pytest

from pipelines.report.page import render
from tests.pipelines.report.conftest import HOSTILE, QUICK, make_record, make_subject

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        try:
            running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium to run (`apt-get install chromium`, or `playwright install chromium`): {str(error)[:80]}")
        yield running
        running.close()


@pytest.fixture(scope="module")
def file(hostile, tmp_path_factory):
    place = tmp_path_factory.mktemp("report") / "report.html"
    place.write_text(render(*hostile, QUICK, []), encoding="utf-8")
    return place


@pytest.fixture
def visit(browser):
    """Open a page and wait for its map; at the end nothing may have gone wrong or been asked of a network."""
    opened, troubles = [], []

    def open_page(path, width=1280, height=900, **options):
        page = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options).new_page()
        page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda asked: troubles.append(asked.url) if asked.url.startswith("http") else None)
        page.goto(path.as_uri())
        page.wait_for_selector("#map[data-ready]")
        opened.append(page)
        return page

    yield open_page
    for page in opened:
        page.context.close()
    assert troubles == []


def shown(page):
    return int(page.locator("[data-role=count]").inner_text().split(" of ")[0].replace(",", ""))


def pixels(page):
    return page.evaluate("document.querySelector('[data-role=points]').toDataURL()")


def place_of(page, text):
    """Search for a text until it is alone, and return where its point is on the screen."""
    page.fill("[data-role=search]", text)
    page.locator("[data-role=list] button").first.click()
    page.wait_for_timeout(100)
    box = page.locator("[data-role=marks]").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_hovering_shows_the_sample_and_hostile_texts_stay_text(visit, file):
    page = visit(file)
    page.mouse.move(*place_of(page, HOSTILE[0]))
    tip = page.locator("[data-role=tip]")
    tip.wait_for(state="visible")
    assert HOSTILE[0] in tip.inner_text()
    for text in (HOSTILE[1], HOSTILE[4], "␀b", "xxxx", "]]><!--"):
        page.fill("[data-role=search]", text)
        assert shown(page) == 6
        assert text in page.locator("[data-role=list]").inner_text()
    assert page.locator("#map script, #map img, #mistakes script, #quality script, b > b").count() == 0
    assert "�reversed" in page.content()


def test_search_legend_and_lasso_narrow_what_is_shown_and_clear_brings_all_back(visit, file):
    page = visit(file)
    assert shown(page) == 48
    page.locator("[data-role=legend] button").first.click()
    assert shown(page) == 24
    page.fill("[data-role=search]", "caf")
    assert shown(page) == 6
    page.click("[data-role=clear]")
    assert shown(page) == 48
    box = page.locator("[data-role=marks]").bounding_box()
    left, top, right, bottom = box["x"] + 4, box["y"] + 4, box["x"] + box["width"] / 2, box["y"] + box["height"] - 4
    page.click("[data-role=lasso]")
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    assert 0 < shown(page) < 48
    page.click("[data-role=clear]")
    assert shown(page) == 48


def test_colours_projections_and_the_view_change_what_is_drawn(visit, file):
    page = visit(file)
    seen = {pixels(page)}
    for role, choices in (
        ("colour", ["prediction", "right or wrong", "probability", "split", "group"]),
        ("projection", ["PCA"]),
    ):
        for choice in choices:
            control = page.locator(f"[data-role={role}] button", has_text=choice).first
            control.click()
            page.wait_for_timeout(600 if role == "projection" else 60)
            assert control.get_attribute("aria-pressed") == "true"
            seen.add(pixels(page))
    page.click("[data-role=in]")
    page.wait_for_timeout(60)
    seen.add(pixels(page))
    page.locator("[data-role=marks]").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(60)
    seen.add(pixels(page))
    assert len(seen) >= 8


def test_the_page_is_dark_where_that_is_preferred_and_can_be_switched(visit, file):
    page = visit(file, color_scheme="dark")

    def brightness():
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour[4:-1].split(",")[:3])) / 3

    before = pixels(page)
    assert brightness() < 60
    page.click("#theme")
    page.wait_for_timeout(60)
    assert brightness() > 200
    assert pixels(page) != before


@pytest.mark.parametrize("width", [360, 390, 768])
def test_a_phone_needs_no_sideways_scrolling(visit, file, width):
    page = visit(file, width, 800, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.clientWidth") == width


@pytest.mark.parametrize("width", [360, 390])
def test_a_phone_shows_every_trial_of_the_leaderboard_whole(visit, file, width):
    page = visit(file, width, 800, has_touch=True, is_mobile=True)
    box = page.locator(".panel:has(table.trials)")
    assert box.evaluate("panel => panel.scrollWidth <= panel.clientWidth")
    cells = page.locator("table.trials tbody tr:first-child td")
    names, score = cells.nth(1).bounding_box(), cells.nth(5).bounding_box()
    assert score["y"] == pytest.approx(names["y"], abs=1)
    assert score["x"] + score["width"] <= width
    assert page.locator("table.trials tbody tr:first-child").evaluate("row => row.offsetHeight") < 160
    page.set_viewport_size({"width": 1280, "height": 800})
    assert page.locator("table.trials thead").is_visible()


def test_on_a_phone_a_tap_tells_of_a_sample_and_two_fingers_zoom_the_map_alone(visit, file):
    page = visit(file, 390, 800, has_touch=True, is_mobile=True)
    assert page.locator(".hint.touch").is_visible()
    assert not page.locator(".hint.mouse").is_visible()
    place_of(page, HOSTILE[0])
    page.wait_for_timeout(800)  # the page scrolls from the list to the map
    box = page.locator("[data-role=marks]").bounding_box()
    assert box["y"] >= 0
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator("[data-role=tip]")
    tip.wait_for(state="visible")
    assert HOSTILE[0] in tip.inner_text()
    page.locator("[data-role=clear]").evaluate("control => control.click()")
    page.wait_for_timeout(60)
    before, scrolled = pixels(page), page.evaluate("scrollY")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 90), ("touchEnd", None)):
        points = [] if apart is None else [{"x": x + side * apart, "y": y, "id": side} for side in (0, 1)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_timeout(100)
    assert pixels(page) != before
    assert page.evaluate("visualViewport.scale") == 1
    assert page.evaluate("scrollY") == scrolled


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints_as_a_light_page_with_the_map_and_its_legend_and_without_controls(visit, file, scheme):
    page = visit(file, color_scheme=scheme)
    page.emulate_media(media="print", color_scheme=scheme)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    corner = """() => {
        const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
        copy.drawImage(document.querySelector("[data-role=points]"), 0, 0);
        return copy.getImageData(1, 1, 1, 1).data.join();
    }"""
    assert page.evaluate(corner) == "255,255,255,255"
    assert page.locator("[data-role=legend]").is_visible()
    for gone in (
        "nav",
        "#map .tools",
        "[data-role=list]",
        ".hint.mouse",
        "#theme",
        "[data-role=marks]",
    ):  # which would cover the map
        assert not page.locator(gone).first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert (page.evaluate(corner) == "255,255,255,255") == (scheme == "light")
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_tables_sort_by_a_heading(visit, file):
    page = visit(file)
    heading = page.locator("#classes table.sortable th", has_text="test samples")
    for order in ("descending", "ascending"):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == order


def test_a_hundred_thousand_samples_can_be_used(visit, tmp_path, record_property):
    subject = make_subject([f"sample {n} of many" for n in range(100_000)])
    place = tmp_path / "large.html"
    effort = QUICK.__class__(points=100_000, arranged=300, methods=("pca",), picture_seconds=0)
    place.write_text(render(make_record(subject), subject, None, effort, []), encoding="utf-8")
    assert place.stat().st_size < 30_000_000
    began = time.monotonic()
    page = visit(place)
    record_property("seconds_to_interactive", time.monotonic() - began)
    assert shown(page) == 100_000
    began = time.monotonic()
    page.fill("[data-role=search]", "sample 777")
    assert shown(page) == 111
    record_property("seconds_to_search", time.monotonic() - began)
    frames = page.evaluate(
        """() => { const canvas = document.querySelector('[data-role=points]'); const times = [];
        const scatter = new Scatter(canvas, document.querySelector('[data-role=marks]'), 100000);
        const x = new Float32Array(100000).map(Math.random); scatter.place(x, x.map(Math.random)); scatter.resize();
        for (let n = 0; n < 5; n++) { const began = performance.now(); scatter.draw(); times.push(performance.now() - began); }
        return times; }"""
    )
    record_property("milliseconds_a_frame", float(np.median(frames)))
