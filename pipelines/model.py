"""`FeatureBasedModel`: a backbone and a classifier as one torch module, whose frozen parts stay as they are in every way."""

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cache import FeatureStore
from extract import BackboneSpec
from heads import AttentionClassifier, LinearClassifier, MLPClassifier
from pipelines.backbone_module import BackboneModule, Features
from pipelines.boundary_batches import HandedIn
from pipelines.errors import RunError, UsageError
from pipelines.freezing import find_parts, set_training
from pipelines.measure import Cost
from pipelines.names import nearest
from pipelines.pieces import Pieces

TASKS = {
    "classification": None,
    "text_classification": "text",
    "sentiment_analysis": "text",
    "image_classification": "image",
    "image_text_classification": "image and text",
}
"""Task -> the kind of samples; None for what the backbone takes first."""

CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {
    "linear": LinearClassifier,
    "mlp": MLPClassifier,
    "attention": AttentionClassifier,
}
_HIDDEN = 256

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"


class FeatureBasedModel(nn.Module):
    """A backbone, most often frozen, and a classifier on its features.

    What is frozen takes no gradient, builds no graph and is always in evaluation mode, also after `train()`, so that no dropout
    falls and no running statistic moves.

    Parameters
    ----------
    backbone
        A torch module that returns features `[b, d]`, called with the inputs (with keyword arguments if they are a mapping);
        or the name of a pretrained backbone, or whatever else `extract` takes for one.
    classifier
        A torch module from features to logits `[b, c]`.
    freeze_backbone
        Whether the whole backbone is frozen, to begin with.
    standardize
        Whether features are brought to mean zero and deviation one over the training data before the classifier sees them;
        the trainer measures these once.
    store
        The feature store, or its folder, for training and analysis through the cache.

    Attributes
    ----------
    classes
        What the logits are of, as the training labels have it; None before training.
    trained
        What the trainer's work on it cost; None before training.
    feature_mean, feature_scale, standardized_on
        `[d]` each, and how many samples they are of; None where features are not standardised.

    Examples
    --------
    >>> model = FeatureBasedModel.from_pretrained("all-MiniLM-L6-v2", num_classes=2)  # doctest: +SKIP
    >>> model(["a film to see twice"]).shape  # doctest: +SKIP
    torch.Size([1, 2])
    """

    feature_mean: torch.Tensor | None
    feature_scale: torch.Tensor | None
    standardized_on: torch.Tensor | None

    def __init__(
        self,
        backbone: Any,
        classifier: nn.Module,
        freeze_backbone: bool = True,
        *,
        standardize: bool = False,
        store: str | FeatureStore = "features",
    ) -> None:
        super().__init__()
        if not isinstance(backbone, nn.Module):
            backbone = BackboneModule.load(backbone, output="tokens" if _takes_tokens(classifier) else None)
        self.backbone = backbone
        self.classifier = classifier
        self.standardize = standardize
        self.store = store
        self.classes: list[Any] | None = None
        self.trained: Cost | None = None
        self.made_of: dict[str, Any] | None = None
        for name in ("feature_mean", "feature_scale", "standardized_on"):
            self.register_buffer(name, None)
        if standardize:
            self._make_scaling(self.adapted("standardize").width())
        self.backbone.requires_grad_(not freeze_backbone)
        self.train(self.training)

    @classmethod
    def from_pretrained(
        cls,
        name: Any,
        task: str = "classification",
        num_classes: int = 2,
        freeze_backbone: bool = True,
        *,
        classifier: str | nn.Module | Callable[[int, int], nn.Module] = "linear",
        output: Any = None,
        standardize: bool = True,
        device: str = "auto",
        store: str | FeatureStore = "features",
        hidden_dim: int | Sequence[int] = _HIDDEN,
        dropout: float = 0.1,
        **settings: Any,
    ) -> "FeatureBasedModel":
        """Put a new classifier on a pretrained backbone.

        Parameters
        ----------
        name
            A well-known name (`bert-base-uncased`, `resnet50`, ...), a URI (`timm:...`, `hf:me/mine@revision`), a folder, or a
            `custom_backbone`.
        task
            One of `TASKS`; says which kind of samples the backbone is to take.
        num_classes
            Width of the logits.
        freeze_backbone
            Whether the backbone is frozen, to begin with.
        classifier
            `linear`, `mlp`, `attention` (over tokens or patches), a module, or a function of the features' width and the number
            of classes that makes one.
        output
            Which feature of the backbone, as `extract` names it (`mean`, `layer6.cls`, ...); by default the usual one.
        standardize, store
            As in the class.
        device
            `auto`, `cpu`, `cuda`, ...
        hidden_dim, dropout
            Of an `mlp`.
        settings
            Of the backbone, such as `max_length` or `image_size`; see `BackboneSpec`.

        Raises
        ------
        UsageError
            If there is no such task or classifier, with the nearest name.
        BackboneError
            If the backbone cannot be found or loaded, with the nearest name.
        """
        if task not in TASKS:
            raise UsageError(f"task {task!r} is not one; {nearest(task, TASKS)}")
        if isinstance(classifier, str) and classifier not in CLASSIFIERS:
            raise UsageError(f"classifier {classifier!r} is not one; {nearest(classifier, CLASSIFIERS)}")
        if num_classes < 2:
            raise UsageError(f"num_classes is {num_classes}; a classifier needs at least 2")
        if output is None and (classifier == "attention" or (isinstance(classifier, nn.Module) and _takes_tokens(classifier))):
            output = "tokens"
        backbone = BackboneModule.load(name, TASKS[task], output, device, **settings)
        made_of = None
        if isinstance(classifier, str):
            params: dict[str, Any] = {"input_dim": backbone.width(), "num_classes": num_classes}
            if classifier == "mlp":
                params |= {"hidden_dim": hidden_dim, "dropout": dropout}
            made_of = {"classifier": classifier, "params": params}
            head = CLASSIFIERS[classifier](**params)
        else:
            head = classifier if isinstance(classifier, nn.Module) else classifier(backbone.width(), num_classes)
        model = cls(backbone, head, freeze_backbone, standardize=standardize, store=store)
        model.made_of = made_of
        return model.to(backbone.device)

    def forward(self, inputs: Any) -> torch.Tensor:
        """Return logits `[b, c]` of a preprocessed batch, or of raw texts or images where the backbone is a pretrained one."""
        return self.classify(self.features(inputs))

    def features(self, inputs: Any) -> Features:
        """Return the backbone's features of inputs as `forward` takes them: `[b, d]`, or tokens with their mask."""
        if isinstance(inputs, Pieces):
            return inputs.join([self._vectors(part) for part in inputs.parts])
        if isinstance(inputs, HandedIn):
            with inputs.boundary.handing_in(inputs.states):
                return self.features(inputs.inputs)
        if isinstance(self.backbone, BackboneModule):
            found: Features = self.backbone(inputs)
            return found
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            given = self.backbone(**inputs) if isinstance(inputs, Mapping) else self.backbone(inputs)
        if not isinstance(given, torch.Tensor):
            raise UsageError(f"the backbone returns {type(given).__name__}; wrap it in a module that returns features [b, d]")
        return given

    def _vectors(self, inputs: Any) -> torch.Tensor:
        found = self.features(inputs)
        assert isinstance(found, torch.Tensor)
        return found

    def classify(self, features: Features) -> torch.Tensor:
        """Return logits `[b, c]` of features `[b, d]`, or of tokens `[b, t, d]` with their mask."""
        values, *mask = features if isinstance(features, tuple) else (features,)
        if self.feature_mean is not None:
            values = (values - self.feature_mean) / self.feature_scale
        logits: torch.Tensor = self.classifier(values, *mask)
        return logits

    @property
    def is_frozen(self) -> bool:
        """Whether nothing of the backbone learns."""
        return not any(parameter.requires_grad for parameter in self.backbone.parameters())

    def adapted(self, what: str) -> BackboneModule:
        """Return the backbone where it is a pretrained one, which knows how to read samples; raises `UsageError` if not."""
        if isinstance(self.backbone, BackboneModule):
            return self.backbone
        raise UsageError(f"{what} needs a backbone that reads samples: give its name, or a `custom_backbone` with `preprocess`")

    def freeze(self) -> None:
        """Freeze the whole backbone."""
        self.backbone.requires_grad_(False)
        self.train(self.training)

    def unfreeze(self, names: Sequence[str | int] | None = None) -> list[str]:
        """Let parts of the backbone learn, all of it if no names are given; return the names of the parameters that now do.

        Raises
        ------
        UsageError
            If there is no such part (see `find_parts`); nothing is changed then.
        """
        found = [parameter for name in names or () for parameter in find_parts(self.backbone, name)]
        for parameter in self.backbone.parameters() if names is None else found:
            parameter.requires_grad_(True)
        self.train(self.training)
        return [name for name, parameter in self.backbone.named_parameters() if parameter.requires_grad]

    def train(self, mode: bool = True) -> "FeatureBasedModel":
        """Put what learns in training mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        set_training(self.backbone, mode)
        return self

    def set_scaling(self, mean: torch.Tensor, scale: torch.Tensor, samples: int) -> None:
        """Note the mean and deviation `[d]` by which features are standardised, and how many samples they are of."""
        device = next(self.classifier.parameters()).device
        self.feature_mean, self.feature_scale = mean.to(device), scale.to(device)
        self.standardized_on = torch.tensor(samples, device=device)

    @property
    def needs_scaling(self) -> bool:
        """Whether features are to be standardised and nobody has measured them yet."""
        return self.standardized_on is not None and int(self.standardized_on) == 0

    def save(self, folder: str | Path) -> None:
        """Save the model: what was learnt, and how to find the rest.

        Weights of a backbone that are still those of its checkpoint are not written; `load` finds the checkpoint again.

        Raises
        ------
        UsageError
            If backbone or classifier are modules of the user's own, of which only torch's `state_dict` can be kept.
        """
        backbone = self.adapted("save")
        if self.made_of is None or not isinstance(backbone.spec.backbone, str):
            raise UsageError("save knows backbones and classifiers by name; keep `state_dict()` of modules of your own")
        changed = not backbone.is_as_loaded
        description = {
            "backbone": dataclasses.asdict(backbone.spec),
            "weights": backbone.checkpoint.weights,
            "kind": backbone.kind,
            "output": backbone.output.name,
            "standardize": self.standardize,
            "classes": self.classes,
            "backbone_changed": changed,
            **self.made_of,
        }
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = self.state_dict()
        kept = {name: value.contiguous() for name, value in state.items() if changed or not name.startswith("backbone.")}
        save_file(kept, folder / WEIGHTS)
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", store: str | FeatureStore = "features") -> "FeatureBasedModel":
        """Load a saved model, in evaluation mode; its backbone is frozen.

        Raises
        ------
        RunError
            If the folder holds no such model, or the backbone's weights are no longer those it was trained on.
        """
        folder = Path(folder)
        try:
            told = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            weights = load_file(folder / WEIGHTS)
            spec = BackboneSpec(**told["backbone"])
            classifier = CLASSIFIERS[told["classifier"]](**told["params"])
            backbone = BackboneModule.load(spec, told["kind"], told["output"], device)
            if not told["backbone_changed"] and backbone.checkpoint.weights != told["weights"]:
                raise RunError(f"{folder}: {spec.backbone} has other weights now than when the model was trained; train again")
            model = cls(backbone, classifier, standardize=told["standardize"], store=store)
            missing, strange = model.load_state_dict(weights, strict=False)
            if strange or any(told["backbone_changed"] or not name.startswith("backbone.") for name in missing):
                raise RunError(f"{folder}: {WEIGHTS} does not hold this model's weights")
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise RunError(f"{folder}: not a saved model that can be used: {reason}") from error
        model.classes = told["classes"]
        model.made_of = {"classifier": told["classifier"], "params": told["params"]}
        return model.to(backbone.device).eval()

    def _make_scaling(self, width: int) -> None:
        self.feature_mean, self.feature_scale = torch.zeros(width), torch.ones(width)
        self.standardized_on = torch.tensor(0)


def _takes_tokens(classifier: nn.Module) -> bool:
    return "mask" in inspect.signature(classifier.forward).parameters
