import io
import json
import tarfile

import pytest

import extract.sources.tar
import extract.sources.webdataset
from extract import Columns, SourceError, stream_samples
from extract.errors import NoSuchSourceError
from tests.extract.sources.slices import read


def write_tar(path, members, mode="w", **options):
    """Write (name, content) pairs, or whole `TarInfo`s with contents, as an archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, **options) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def samples(start, stop):
    for number in range(start, stop):
        yield f"{number:06d}.jpg", f"picture {number}".encode()
        yield f"{number:06d}.cls", str(number % 3).encode()
        yield f"{number:06d}.json", json.dumps({"caption": f"caption {number}", "from": {"site": "a"}}).encode()


def test_files_of_one_name_are_a_sample_and_shards_come_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(extract.sources.webdataset, "SLICE_SAMPLES", 4)
    for shard in range(3):
        write_tar(tmp_path / f"shard-{shard:06d}.tar", samples(10 * shard, 10 * shard + 10))
    stream = stream_samples(str(tmp_path / "shard-{000000..000002}.tar"), Columns(label="cls"))
    assert [len(part) for part in stream] == [4, 4, 2] * 3
    inputs, ids, labels, faults = read(stream)
    assert inputs == [f"picture {number}".encode() for number in range(30)]
    assert ids[12] == "shard-000001.tar:000012"
    assert labels[:4] == ["0", "1", "2", "0"]
    assert not faults


def test_a_slice_has_a_bounded_number_of_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(extract.sources.webdataset, "SLICE_BYTES", 1000)
    write_tar(tmp_path / "a.tar", [(f"{number}.png", bytes(400)) for number in range(10)])
    assert [len(part) for part in stream_samples(str(tmp_path / "a.tar"))] == [3, 3, 3, 1]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (Columns("txt"), "text of one"),
        (Columns("json.caption"), "a caption"),
        (Columns("json.deep.er"), "found"),
        (Columns(image="png;jpg"), b"a jpg"),
        (Columns(image="seg.png"), b"a mask"),
        (Columns(), b"a jpg"),
    ],
)
def test_columns_are_endings_and_values_inside_json(tmp_path, columns, expected):
    record = json.dumps({"caption": "a caption", "deep": {"er": "found"}}).encode()
    files = {"txt": b"text of one\n", "JPG": b"a jpg", "seg.png": b"a mask", "json": record, "npy": b"\0" * 99}
    write_tar(tmp_path / "a.tar", [(f"train/one.{ending}", content) for ending, content in files.items()])
    inputs, ids, _, faults = read(stream_samples(str(tmp_path / "a.tar"), columns))
    assert (inputs, ids, faults) == ([expected], ["a.tar:train/one"], {})


@pytest.mark.parametrize("ending", [".tar.gz", ".tgz"])
def test_shards_may_be_compressed_and_at_urls(tmp_path, ending):
    import fsspec

    path = write_tar(tmp_path / f"a{ending}", samples(0, 5), "w:gz")
    files = fsspec.filesystem("memory")
    files.pipe(f"/bucket/a{ending}", path.read_bytes())
    try:
        assert len(read(stream_samples(f"memory://bucket/a{ending}"))[0]) == 5
    finally:
        files.rm("/bucket", recursive=True)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_read_in_every_form_of_archive(tmp_path, form):
    names = ["d" * 120 + "/" + "x" * 130, "längere/Namen", "plain"]
    write_tar(tmp_path / "a.tar", [(f"{name}.txt", name.encode()) for name in names], format=form)
    inputs, ids, _, _ = read(stream_samples(str(tmp_path / "a.tar")))
    assert inputs == names
    assert ids == [f"a.tar:{name}" for name in names]


def test_a_sample_that_lacks_something_says_what(tmp_path):
    members = [
        ("a.jpg", b"a"),
        ("a.cls", b"1"),
        ("b.cls", b"0"),
        ("c.jpg", b"c"),
        ("d.jpg", b"d"),
        ("d.jpg", b"d"),
        ("d.cls", b"0"),
    ]
    write_tar(tmp_path / "a.tar", members)
    _, _, labels, faults = read(stream_samples(str(tmp_path / "a.tar"), Columns(label="cls")))
    assert labels == ["1", "0", None, "0"]  # one without a label is extracted, and not trained on
    assert faults == {"a.tar:b": "has no image: its files are `cls`", "a.tar:d": "has two files `.jpg`"}


def test_json_that_is_none_costs_its_sample(tmp_path):
    write_tar(tmp_path / "a.tar", [("a.json", b'{"t": "fine"}'), ("b.json", b"{"), ("c.json", b"[" * 100_000)])
    inputs, _, _, faults = read(stream_samples(str(tmp_path / "a.tar"), Columns("json.t")))
    assert inputs == ["fine", None, None]
    assert all("`json` is not JSON" in faults[f"a.tar:{name}"] for name in "bc")


def test_hostile_names_are_refused_and_nothing_is_written(tmp_path):
    names = ["../../evil.jpg", "/etc/passwd.jpg", "fine.jpg", "bell\x07\x1b[31m.jpg"]
    write_tar(tmp_path / "in" / "a.tar", [(name, b"x") for name in names])
    inputs, ids, _, faults = read(stream_samples(str(tmp_path / "in" / "a.tar")))
    assert len(inputs) == 4
    assert set(faults) == {"a.tar:../../evil", "a.tar:/etc/passwd"}
    assert "leads out of the archive" in faults["a.tar:/etc/passwd"]
    assert ids[3] == "a.tar:bell\\x07\\x1b[31m"
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.tar"]


def test_links_and_folders_are_no_samples(tmp_path):
    link = tarfile.TarInfo("b.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    folder = tarfile.TarInfo("some.jpg")
    folder.type = tarfile.DIRTYPE
    write_tar(tmp_path / "a.tar", [("a.jpg", b"a"), (link, b""), (folder, b""), (".hidden.jpg", b"h"), ("c.jpg", b"c")])
    assert read(stream_samples(str(tmp_path / "a.tar")))[0] == [b"a", b"c"]


@pytest.mark.parametrize("end", ["in a member", "in a header", "after a member"])
def test_what_comes_before_the_end_of_a_truncated_archive_is_kept(tmp_path, end):
    path = write_tar(tmp_path / "a.tar", [(f"{number}.jpg", bytes(700)) for number in range(5)])
    write_tar(tmp_path / "b.tar", [("more.jpg", b"x")])
    each = 512 + 1024
    path.write_bytes(path.read_bytes()[: 3 * each + {"in a member": 600, "in a header": 100, "after a member": 0}[end]])
    inputs, ids, _, faults = read(stream_samples(str(tmp_path)))
    whole = [name for name, sample in zip(ids, inputs, strict=True) if sample and name not in faults]
    assert whole == ["a.tar:0", "a.tar:1", "a.tar:2", "b.tar:more"]
    assert ("a.tar:3" in faults) == (end == "in a member")
    assert "the archive cannot be read after" in faults["a.tar"]


def test_an_archive_that_is_damaged_in_the_middle_says_after_which_sample(tmp_path):
    path = write_tar(tmp_path / "a.tar", [(f"{number}.jpg", bytes(700)) for number in range(5)])
    content = bytearray(path.read_bytes())
    content[3 * 1536 + 10] ^= 0xFF
    path.write_bytes(content)
    _, ids, _, faults = read(stream_samples(str(path)))
    assert ids[:2] == ["a.tar:0", "a.tar:1"]
    assert "the archive cannot be read after 2" in faults["a.tar"]
    (tmp_path / "none.tar").write_bytes(b"this is no archive at all" * 100)
    assert "the archive cannot be read at all" in read(stream_samples(str(tmp_path / "none.tar")))[3]["none.tar"]
    compressed = write_tar(tmp_path / "z.tgz", samples(0, 200), "w:gz")
    compressed.write_bytes(compressed.read_bytes()[:-200])
    inputs, _, _, faults = read(stream_samples(str(compressed)))
    assert len(inputs) > 20
    assert "cannot be read after" in faults["z.tgz"]


def test_a_size_that_is_a_lie_costs_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(extract.sources.webdataset, "LARGEST_FILE", 1000)
    write_tar(tmp_path / "a.tar", [("a.jpg", b"a"), ("big.jpg", bytes(1001)), ("c.jpg", b"c")])
    inputs, _, _, faults = read(stream_samples(str(tmp_path / "a.tar")))
    assert inputs == [b"a", None, b"c"]
    assert "big.jpg has 1,001 bytes" in faults["a.tar:big"]
    liar = tarfile.TarInfo("x" * 200 + ".jpg")
    block = bytearray(liar.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"77777777777\0"  # the long name claims 8 GiB
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    (tmp_path / "b.tar").write_bytes(block)
    assert "claim to have 8,589,934,591 bytes" in read(stream_samples(str(tmp_path / "b.tar")))[3]["b.tar"]


def test_a_column_that_no_sample_has_is_told(tmp_path):
    path = write_tar(tmp_path / "a.tar", samples(0, 3))
    with pytest.raises(NoSuchSourceError, match="no sample has `clss`; their files are `jpg`, `cls`, `json`"):
        list(stream_samples(str(path), Columns(label="clss")))
    write_tar(tmp_path / "b.tar", [("a.npy", b"1")])
    with pytest.raises(NoSuchSourceError, match="no sample has an image or a `txt`; name what it has: `npy`"):
        list(stream_samples(str(tmp_path / "b.tar")))
    with pytest.raises(SourceError, match="none.tar"):
        list(stream_samples(str(tmp_path / "none.tar")))
