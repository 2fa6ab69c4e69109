import itertools
import uuid

import pytest

from cache import FeatureStore
from tests.s3 import Faults, S3Server

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def s3_server():
    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """A server with nothing wrong, whose environment this process has."""
    s3_server.faults = Faults()
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    yield s3_server
    s3_server.faults = Faults()


@pytest.fixture
def s3_url(s3):
    """An empty prefix in a bucket of its own."""
    bucket = f"bucket{next(_NUMBERS)}"
    s3.make_bucket(bucket)
    return f"s3://{bucket}/some/features"


@pytest.fixture
def memory_url():
    return f"memory://{uuid.uuid4().hex}/features"


@pytest.fixture(params=["memory", "s3"])
def url(request):
    """A store's URL, in memory and on the server."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def elsewhere(monkeypatch, tmp_path_factory):
    """Make a store as another machine sees it, which has an empty mirror."""

    def make(url, **options):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("machine")))
        return FeatureStore(url, **options)

    return make
