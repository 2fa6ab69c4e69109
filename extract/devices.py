"""Devices and precision: what `auto` means on this machine."""

import os
import sys
from pathlib import Path

from extract.errors import NoSuchBackboneError
from extract.remote import first_line

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
TOKEN_BUDGETS = {"cpu": 2048, "mps": 8192, "cuda": 32768}
"""Tokens in a batch, padding included, where nothing is known of the device but its kind."""

SAMPLE_BUDGETS = {"cpu": 16, "mps": 64, "cuda": 256}
"""The same for backbones whose samples cost alike, such as images."""

_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "failed to allocate",
    "alloc_failed",
    "alloc failed",
)
_GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, WSL


def choose_device(device: str = "auto") -> str:
    """Return `cuda`, `mps` or `cpu` for `auto`; anything else as it is."""
    if device != "auto":
        return device
    if sys.platform == "linux" and not any(map(os.path.exists, _GPU_NODES)):
        return "cpu"  # known without the seconds that importing torch takes
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(device: str) -> None:
    """See that this machine has a device.

    Raises
    ------
    NoSuchBackboneError
        If it has not.
    """
    if device in ("auto", "cpu"):
        return
    import torch

    try:
        torch.empty(0, device=device)
    except Exception as error:  # each kind of device says in its own way what is wrong
        no_gpu = device.startswith("cuda") and not torch.cuda.is_available()
        why = why_device("cpu") if no_gpu else first_line(error)
        others = "cpu" if no_gpu else "cpu, cuda, cuda:1 or mps"
        raise NoSuchBackboneError(f"device `{device}` cannot be used: {why}; leave it out, or name {others}") from error


def device_or_auto(device: str) -> str:
    """Return a device where this machine has it, else `auto`: for what was made on another machine."""
    try:
        check_device(device)
    except NoSuchBackboneError:
        return "auto"
    return device


def why_device(device: str) -> str:
    """Say why `auto` means this device here."""
    if device.startswith("cuda"):
        import torch

        return f"there is a GPU that torch can use ({torch.cuda.get_device_name(device)})"
    if device == "mps":
        return "this is a Mac whose GPU torch can use"
    if sys.platform == "linux" and any(map(os.path.exists, _GPU_NODES)):
        return "there is a GPU, and this torch cannot use it; install a build of torch for it"
    return "there is no GPU"


def why_precision(precision: str, device: str) -> str:
    """Say why `auto` means this precision on a device."""
    if precision == "bfloat16":
        return "the GPU computes in it"
    return "a CPU is slower in bfloat16 unless made for it" if device == "cpu" else "the GPU has no bfloat16"


def choose_precision(precision: str, device: str) -> str:
    """Return the arithmetic of the forward pass: for `auto`, bfloat16 on GPUs that have it and float32 elsewhere."""
    if precision not in PRECISIONS:
        raise NoSuchBackboneError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "float32"


def default_budget(unit: str, device: str) -> int:
    """Return the cost of a batch that fits a kind of device, in tokens or in samples."""
    budgets = TOKEN_BUDGETS if unit == "tokens" else SAMPLE_BUDGETS
    return budgets.get(device.partition(":")[0], budgets["cpu"])


def count_workers(device: str) -> int:
    """Return how many processes may decode samples.

    Beside a GPU all processors but one. On a CPU, which also computes, one in four: with fewer than four there is none, and
    a thread decodes while the backbone computes, since a process more would only take turns with it.
    """
    processors = count_processors()
    return min(16, processors // 4) if device == "cpu" else max(1, min(16, processors - 1))


def count_processors(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return how many processors this process may use: those it is bound to, as far as its container lets it, and its share of
    them where `torchrun`, which binds nothing, has started several processes side by side.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        most, period = quota.read_text().split()
        processors = min(processors, round(int(most) / int(period)))
    except (OSError, ValueError):  # no container, or `max`
        pass
    return max(1, processors // count_ranks_here())


def count_ranks_here() -> int:
    """Return how many processes `torchrun` has started side by side on this machine, this one included; 1 without it."""
    told = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(told)) if told.isdecimal() else 1


def use_processors(device: str) -> None:
    """Have torch compute with no more threads than there are processors for it, where the user has not said how many."""
    import torch

    if device == "cpu" and "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > count_processors():
        torch.set_num_threads(count_processors())


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception says that memory ran out: CUDA's own type, or what MPS and CPU raise in words."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)
