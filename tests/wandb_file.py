"""What an offline run of Weights & Biases holds: its file is a log in LevelDB's format, of protocol buffers."""

import json
import struct
from pathlib import Path

BLOCK, HEADER, RECORD = 32768, 7, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(file: Path):
    """Yield the records of a log."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole = file.read_bytes(), HEADER, b""
    while at + RECORD <= len(data):
        left = BLOCK - at % BLOCK
        if left < RECORD:
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + RECORD])
        whole += data[at + RECORD : at + RECORD + length]
        at += RECORD + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def read_run(folder: Path):
    """Return the rows of the history, and the keys of config and summary, of the only run in a folder."""
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    rows, config, summary = [], set(), set()
    for record in records(file):
        if record.HasField("history"):
            rows.append({_name(item): json.loads(item.value_json) for item in record.history.item})
        for told in (record.config, record.run.config):
            config |= {_name(item) for item in told.update}
        if record.HasField("summary"):
            summary |= {_name(item) for item in record.summary.update}
    return rows, config, summary


def _name(item):
    return item.key or "/".join(item.nested_key)
