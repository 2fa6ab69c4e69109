"""Shared by all tests: a private memo, tiny checkpoints made by the libraries themselves, and small data."""

from pathlib import Path

import pytest

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


@pytest.fixture(autouse=True)
def private_memo(tmp_path_factory, monkeypatch):
    """Keep what tests remember about files out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("memo")))


@pytest.fixture
def shared_data():
    """Return the folder of real data sets that stands beside a checkout, where it does."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not here")
    return SHARED_DATA


def save_tokenizer(folder: Path, kind: str = "bert"):
    """Write a word-level vocabulary and the tokenizer of a model family, through transformers."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    first, pad, last, unknown = ("<s>", "<pad>", "</s>", "<unk>") if kind == "roberta" else ("[CLS]", "[PAD]", "[SEP]", "[UNK]")
    vocabulary = {word: number for number, word in enumerate([first, pad, last, unknown, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B {last}",
        special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        cls_token=first,
        sep_token=last,
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)
    return vocabulary


def save_encoder(folder: Path, family: str = "bert", seed: int = 0) -> Path:
    """Write a tiny random encoder of a family with its tokenizer, through the libraries' own `save_pretrained`."""
    import torch
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(seed)
    vocabulary = save_tokenizer(folder, "roberta" if family == "roberta" else "bert")
    positions = 66 if family == "roberta" else 64  # RoBERTa's begin after the padding's
    sizes = {"vocab_size": len(vocabulary), "pad_token_id": 1, "max_position_embeddings": positions}
    if family == "distilbert":
        sizes |= {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48}
    else:
        sizes |= {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    if family == "electra":
        sizes["embedding_size"] = 16
    AutoModel.from_config(AutoConfig.for_model(family, **sizes)).save_pretrained(folder)
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
