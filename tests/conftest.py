"""Shared by all tests: a private memo, tiny checkpoints made by the libraries themselves, and small data."""

import itertools
import os
import signal
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from benchmarks.ray_failures import ENVIRONMENT

for _about_terminals in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(_about_terminals, None)  # what commands print here does not depend on who runs the tests, and where

# Ray looks at these once, when it is first imported
os.environ.update({name: value for name, value in ENVIRONMENT.items() if name.startswith("RAY_")})

settings.register_profile("headstart", deadline=None)  # how long an example takes says more of the machine
settings.load_profile("headstart")

MANY = 500
"""A module of so many tests is not long because of any of them."""

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
WORDS = [
    "the",
    "a",
    "film",
    "was",
    "good",
    "bad",
    "great",
    "awful",
    "plot",
    "acting",
    "music",
    "we",
    "loved",
    "hated",
    "it",
    "and",
    "but",
    "not",
    "very",
    "so",
    "dull",
    "bright",
]


def pytest_collection_modifyitems(items):
    """Have each of pytest-xdist's processes begin its share with long modules, so that in the end short tests are left.

    The first one gets those with clusters, of which one at a time may run; the others share those with slow tests.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes == 1:
        return
    modules = {}
    for item in items:
        modules.setdefault(item.nodeid.partition("::")[0], []).append(item)
    shares = [[] for _ in range(processes)]
    turns = itertools.cycle(shares[1:])
    short = []
    for tests in modules.values():
        if any(test.get_closest_marker("cluster") for test in tests):
            shares[0] += tests
        elif any(test.get_closest_marker("slow") for test in tests) and len(tests) < MANY:
            next(turns).extend(tests)
        else:
            short += tests
    for share in shares:
        room = max(0, -(-len(items) // processes) - len(share))
        share.extend(short[:room])
        del short[:room]
    items[:] = [*itertools.chain(*shares), *short]


@pytest.fixture(autouse=True)
def private_memo(tmp_path_factory, monkeypatch):
    """Keep what tests remember about files out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("memo")))


@pytest.fixture
def ctrl_c_reaches_children():
    """Let processes that a test starts be stopped by SIGINT, also where the tests themselves run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def turn_to_start_clusters(tmp_path_factory):
    """A lock that one of pytest-xdist's processes holds at a time, in as many fixtures as need be."""
    base = tmp_path_factory.getbasetemp()
    return FileLock((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cluster.lock")


@pytest.fixture(autouse=True)
def one_cluster_at_a_time(request):
    """Let one process at a time start clusters: these take both processors and look for each other."""
    if request.node.get_closest_marker("cluster") is None:
        yield
        return
    with request.getfixturevalue("turn_to_start_clusters"):
        yield


@pytest.fixture
def shared_data():
    """Return the folder of real data sets that stands beside a checkout, where it does."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not here")
    return SHARED_DATA


ROBERTA_LIKE = ("roberta", "xlm-roberta", "mpnet")
DECODERS = ("gpt2", "llama", "qwen3")
_HALVES = {"d_model": 32, "decoder_start_token_id": 2}
_FAMILY_SIZES = {
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48},
    "electra": {"embedding_size": 16},
    "deberta-v2": {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["c2p"], "type_vocab_size": 0},
    "modernbert": {"local_attention": 8, "global_attn_every_n_layers": 2},
    "t5": _HALVES | {"d_kv": 8, "d_ff": 48, "num_layers": 3, "num_heads": 4},
    "mt5": _HALVES | {"d_kv": 8, "d_ff": 48, "num_layers": 3, "num_heads": 4},
    "bart": _HALVES | {"encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_layers": 2},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
    "llama": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 8},
}
_OF_THEIR_OWN = ("distilbert", "t5", "mt5", "bart", "gpt2")  # families whose sizes have other names


def save_tokenizer(folder: Path, family: str = "bert"):
    """Write a word-level vocabulary and the tokenizer of a model family, through transformers."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    first, pad, last, unknown = ("[CLS]", "[PAD]", "[SEP]", "[UNK]")
    if family in ROBERTA_LIKE:
        first, pad, last, unknown = ("<s>", "<pad>", "</s>", "<unk>")
    vocabulary = {word: number for number, word in enumerate([first, pad, last, unknown, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    own = {"pad_token": pad, "cls_token": first, "sep_token": last}
    if family in DECODERS:  # these have no padding token, and pad on the left
        own = {"bos_token": first, "eos_token": last, "padding_side": "left"}
    else:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}",
            pair=f"{first} $A {last} $B {last}",
            special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])],
        )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=unknown,
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
        **own,
    ).save_pretrained(folder)
    return vocabulary


def save_encoder(folder: Path, family: str = "bert", seed: int = 0) -> Path:
    """Write a tiny random model of a family with its tokenizer, through the libraries' own `save_pretrained`."""
    import torch
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(seed)
    vocabulary = save_tokenizer(folder, family)
    sizes = {"vocab_size": len(vocabulary), "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    if family != "gpt2":
        sizes["max_position_embeddings"] = 66 if family in ROBERTA_LIKE else 64  # RoBERTa's begin after the padding's
    if family not in _OF_THEIR_OWN:
        sizes |= {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    AutoModel.from_config(AutoConfig.for_model(family, **sizes, **_FAMILY_SIZES.get(family, {}))).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """A folder with a random BERT of 3 layers and width 32; not to be changed."""
    return save_encoder(tmp_path_factory.mktemp("checkpoints") / "tiny-bert")


def sentences(count: int, seed: int = 0) -> list[str]:
    """Make distinct sentences of very different lengths."""
    import random

    rng = random.Random(seed)
    return [f"{' '.join(rng.choices(WORDS, k=rng.randint(1, 40)))} {number}" for number in range(count)]


def write_reviews(path: Path, count: int = 120, seed: int = 0) -> Path:
    """Write a CSV of reviews whose sentiment a bag of words can tell, with train and test splits."""
    import csv
    import random

    rng = random.Random(seed)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "length", "split"])
        for number in range(count):
            label = ("good", "bad")[number % 2]
            opinion = {"good": ["good", "great", "loved"], "bad": ["bad", "awful", "hated"]}[label]
            words = rng.choices(opinion, k=3) + rng.choices(WORDS[:3], k=rng.randint(1, 9))
            rng.shuffle(words)
            text = " ".join(words) + f" {number}"
            writer.writerow([text, label, "long" if len(words) > 7 else "short", "test" if number % 5 < 1 else "train"])
    return path
