import pytest
import torch

from tests.heads.conftest import bags  # noqa: F401  (a fixture)
from tests.pipelines.conftest import headstart, process, project  # noqa: F401  (fixtures)


def pytest_collection_modifyitems(items):
    """All that stands here needs a GPU."""
    missing = pytest.mark.skip(reason="there is no CUDA device here")
    for item in items:
        if "/gpu/" in item.path.as_posix():
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(missing)


@pytest.fixture
def little_memory():
    """Let this process have a small part of the GPU's memory, told in bytes."""

    def limit(most):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(most / torch.cuda.get_device_properties(0).total_memory)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()
