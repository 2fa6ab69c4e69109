import re

import numpy as np
import pytest

from pipelines.report.page import render
from tests.pipelines.report.conftest import QUICK, make_record, make_subject


@pytest.fixture(scope="module")
def page(hostile):
    return render(*hostile, QUICK, [])


def test_hostile_texts_and_names_stay_text(page):
    for text in ("<script>alert", "<img src=x", "<b>a", "<i>x", "<u>why", "<s>note", "<q>", "<g>", "<run>", "\x00", "\u202e"):
        assert text not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert "{{ 7 * 7 }}" in page
    assert page.count("</script>") == 2  # of the data and of the program


def test_a_page_is_one_file_without_network_of_a_bounded_size(page):
    assert not re.search(r"(src|href)=.?(https?:)?//", page)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", page)
    assert len(page.encode()) < 300_000
    assert "skipped 2 more" in page


def test_every_part_of_a_run_has_its_section(page):
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        "Worth knowing", "Samples", "Scores", "Classes", "Calibration", "Leaderboard", "Learning curve", "Features",
        "Most confident mistakes", "Data quality", "How it was made",
    ]  # fmt: skip
    anchors = re.findall(r'<a href="#(\w+)"', page)
    assert all(f'<section id="{anchor}">' in page for anchor in anchors)


def test_without_samples_there_is_a_page_without_map_and_texts(hostile):
    page = render(hostile[0], None, None, QUICK, ["the data are <gone>"])
    assert "the data are &lt;gone&gt;" in page
    assert 'id="map"' not in page
    assert "Most confident mistakes" in page


def test_of_very_many_classes_the_largest_confusions_are_told():
    subject = make_subject([f"text {n}" for n in range(60)])
    record = make_record(subject)
    names = [f"class {n}" for n in range(100)]
    counts = np.eye(100, dtype=int) * 5
    counts[3, 7] = 4
    record.metrics.update(classes=names, confusion=counts.tolist(), per_class=[])
    page = render(record, None, None, QUICK, [])
    assert re.search(r"class 3</bdi></td><td><bdi>class 7</bdi></td><td class=\"number\">4", page)
