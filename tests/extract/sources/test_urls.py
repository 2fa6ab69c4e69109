import http.server
import threading
from collections import Counter

import pytest

import extract.remote
import extract.sources.urls
from extract import Columns, ImageFile, SourceError, stream_samples
from extract.errors import NoSuchSourceError, UnusableSampleError
from extract.images import ImageText, image_keys, resolve
from extract.remote import UnreachableError, expand_braces, patiently, read_file


@pytest.fixture
def web(monkeypatch):
    """Serve `/ok/N`; `/flaky/N` fails twice before it answers, `/broken` always, and anything else is not there."""
    monkeypatch.setattr(extract.remote, "FIRST_PAUSE", 0.001)
    asked = Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked[self.path] += 1
            kind = self.path.split("/")[1]
            status = (
                200
                if kind == "ok" or (kind == "flaky" and asked[self.path] > 2)
                else 503
                if kind in ("flaky", "broken")
                else 404
            )
            content = f"picture at {self.path}".encode() if status == 200 else b""
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.asked = asked
    server.at = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()


def read(stream):
    slices = list(stream)
    return (
        [sample for part in slices for sample in part.inputs],
        [name for part in slices for name in part.ids],
        {part.ids[row]: why for part in slices for row, why in part.faults.items()},
    )


def test_a_list_of_urls_is_read_with_patience_and_failures_are_skipped(web, tmp_path):
    (tmp_path / "here.jpg").write_bytes(b"a local picture")
    lines = [f"{web.at}/ok/1", "", f"{web.at}/gone/2", f"{web.at}/flaky/3", f"{web.at}/broken", "here.jpg", "gopher://x/y"]
    (tmp_path / "urls.txt").write_text("\n".join(lines))
    inputs, ids, faults = read(stream_samples(f"urls:{tmp_path / 'urls.txt'}"))
    assert ids == [f"urls.txt:{line}" for line in (1, 3, 4, 5, 6, 7)]
    assert (inputs[0], inputs[2]) == (b"picture at /ok/1", b"picture at /flaky/3")
    assert resolve(inputs[4]) == b"a local picture"
    assert set(faults) == {"urls.txt:3", "urls.txt:5", "urls.txt:7"}
    assert "there is no such file" in faults["urls.txt:3"]
    assert "(4 attempts)" in faults["urls.txt:5"]
    assert "URLs of this kind are not read" in faults["urls.txt:7"]
    assert web.asked["/gone/2"] < 3


def test_a_column_of_urls_is_read_a_bounded_number_of_bytes_at_a_time(web, tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr(extract.sources.urls, "URLS_AT_ONCE", 4)
    monkeypatch.setattr(extract.sources.urls, "SLICE_BYTES", 100)
    urls = [f"{web.at}/ok/{number}" for number in range(22)]
    pq.write_table(
        pa.table({"url": urls, "caption": [f"c{n}" for n in range(22)], "label": [n % 2 for n in range(22)]}),
        tmp_path / "a.parquet",
    )
    slices = list(stream_samples(str(tmp_path / "*.parquet"), Columns(image="url", label="label")))
    assert [len(part) for part in slices] == [8, 8, 6]
    assert [label for part in slices for label in part.labels] == ["0", "1"] * 11
    captioned = read(stream_samples(str(tmp_path / "*.parquet"), Columns("caption", image="url")))[0]
    assert captioned[21] == ImageText(b"picture at /ok/21", "c21")


def test_a_network_that_is_gone_stops_the_stream(web, tmp_path, monkeypatch):
    monkeypatch.setattr(extract.sources.urls, "MOST_UNREACHABLE", 5)
    (tmp_path / "urls.txt").write_text("\n".join(f"{web.at}/broken/{number}" for number in range(9)))
    with pytest.raises(SourceError, match="cannot be reached, and neither could the 4 before it"):
        list(stream_samples(f"urls:{tmp_path / 'urls.txt'}"))
    with pytest.raises(SourceError, match="none.txt"):
        list(stream_samples(f"urls:{tmp_path / 'none.txt'}"))


def test_a_network_that_is_gone_is_noticed_over_many_short_files(web, tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr(extract.sources.urls, "MOST_UNREACHABLE", 5)
    for number in range(4):
        urls = [f"{web.at}/broken/{number}-{row}" for row in range(2)]
        pq.write_table(pa.table({"image": urls}), tmp_path / f"{number}.parquet")
    with pytest.raises(SourceError, match="cannot be reached, and neither could the 4 before it"):
        list(stream_samples(str(tmp_path / "*.parquet")))


def test_images_at_urls_are_samples_anywhere(web):
    good, bad = ImageFile(f"{web.at}/ok/1"), ImageFile(f"{web.at}/gone")
    assert image_keys([good]) == image_keys([b"picture at /ok/1"])
    assert "no such file" in image_keys([bad])[0]
    with pytest.raises(UnusableSampleError, match="no such file"):
        bad.read()


def test_what_may_pass_is_tried_again_and_what_will_not_is_not():
    tried = []

    def fail(error):
        tried.append(error)
        raise error

    with pytest.raises(UnreachableError, match=r"throttled \(4 attempts\)"):
        patiently(lambda: fail(RuntimeError("throttled\nmore")), sleep=lambda seconds: None)
    assert len(tried) == 4
    for error in (FileNotFoundError("x"), PermissionError("x")):
        tried.clear()
        with pytest.raises(type(error)):
            patiently(lambda error=error: fail(error), sleep=lambda seconds: None)
        assert len(tried) == 1


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    (tmp_path / "big").write_bytes(bytes(1001))
    with pytest.raises(OSError, match="larger than"):
        read_file(f"file://{tmp_path}/big", 1000)


def test_braces_are_ranges_and_lists():
    assert expand_braces("a-{008..011}.tar") == ["a-008.tar", "a-009.tar", "a-010.tar", "a-011.tar"]
    assert expand_braces("{en,fr}/{0..1}") == ["en/0", "en/1", "fr/0", "fr/1"]
    for wrong in ("a{1..0}", "a{b}", "a{0..99999999}"):
        with pytest.raises(NoSuchSourceError):
            expand_braces(wrong)
