import pytest
import torch

from extract import BackboneError
from extract.devices import (
    choose_device,
    choose_precision,
    count_processors,
    default_budget,
    is_out_of_memory,
    why_device,
    why_precision,
)


def test_a_named_device_is_taken_as_it_is():
    assert choose_device("cuda:1") == "cuda:1"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_auto_is_the_cpu_in_float32_where_there_is_no_gpu():
    assert choose_device() == "cpu"
    assert choose_precision("auto", "cpu") == "float32"


@pytest.mark.parametrize(("has_bfloat16", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_on_gpus_that_have_it(monkeypatch, has_bfloat16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert choose_precision("auto", "cuda") == expected


def test_an_unknown_precision_is_refused():
    with pytest.raises(BackboneError, match="fp16"):
        choose_precision("fp16", "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_what_would_be_used_is_explained():
    assert why_device("cpu") == "there is no GPU"
    assert why_precision("float32", "cpu") == "a CPU is slower in bfloat16 unless made for it"
    assert why_precision("float32", "cuda") == "the GPU has no bfloat16"


def test_memory_that_runs_out_is_told_from_other_failures():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_batches_are_counted_in_what_the_backbone_counts_in():
    assert default_budget("tokens", "cuda:1") > default_budget("tokens", "cpu") > default_budget("images", "cpu")


def test_a_container_s_share_of_the_processors_is_not_exceeded(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    quota = tmp_path / "cpu.max"
    assert count_processors(quota) == 8
    for content, expected in (("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1), ("9900000 100000", 8)):
        quota.write_text(content)
        assert count_processors(quota) == expected
