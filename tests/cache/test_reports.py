import os

from cache.place import FolderPlace
from cache.reports import KEPT, Reports


def test_processes_of_one_session_hear_each_other_and_nobody_else(tmp_path):
    one, other = (
        Reports(FolderPlace(tmp_path), tmp_path / "leases", "a-1"),
        Reports(FolderPlace(tmp_path), tmp_path / "leases", "a-11"),
    )
    one.write(0, {"samples": 3})
    one.write(12, {"samples": 4})
    one.write(0, {"samples": 5})
    other.write(0, {"samples": 9})
    assert one.read() == {0: {"samples": 5}, 12: {"samples": 4}}
    assert other.read() == {0: {"samples": 9}}


def test_a_process_that_begins_again_withdraws_what_it_said_before_and_what_is_old(tmp_path):
    reports, old = Reports(FolderPlace(tmp_path), tmp_path, "a"), Reports(FolderPlace(tmp_path), tmp_path, "old")
    for number in range(2):
        reports.write(number, {})
    old.write(7, {})
    os.utime(tmp_path / "old-7.report", (0, os.stat(tmp_path).st_mtime - KEPT - 1))
    reports.withdraw(1)
    assert reports.read() == {0: {}}
    assert old.read() == {}


def test_what_is_no_report_is_not_heard_and_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    reports = Reports(FolderPlace(tmp_path), tmp_path, "a")
    (tmp_path / "a-1.report").write_bytes(b"{")
    (tmp_path / "a-2.report").write_bytes(b"[1]")
    (tmp_path / "a-x.report").write_bytes(b"{}")
    (tmp_path / "a-3.report").symlink_to(tmp_path / "a-x.report")
    assert reports.read() == {}
    (tmp_path / "file").write_text("")
    Reports(FolderPlace(tmp_path), tmp_path / "file", "a").write(0, {})
