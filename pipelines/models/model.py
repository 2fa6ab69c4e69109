"""`FeatureBasedModel`: a backbone and a classifier as one torch module, whose frozen parts stay as they are in every way."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cache import FeatureStore
from pipelines.errors import UsageError
from pipelines.measure import Cost
from pipelines.models.backbone_module import BackboneModule, Features
from pipelines.models.boundary_batches import HandedIn
from pipelines.models.classifiers import CLASSIFIERS, check_name, count_outputs, describe_classifier, takes_tokens
from pipelines.models.freezing import find_parts, refuse_float16, set_training
from pipelines.models.model_saving import load_model, save_model
from pipelines.models.objectives import Classes, Labels, Numbers, Objective, read_task
from pipelines.models.pieces import Pieces

_HIDDEN = 256


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
        A torch module from features to outputs `[b, c]`: logits of classes or labels, or numbers.
    freeze_backbone
        Whether the whole backbone is frozen, to begin with.
    standardize
        Whether features are brought to mean zero and deviation one over the training data before the classifier sees them;
        the trainer measures these once.
    store
        The feature store, or its folder, for training and analysis through the cache.
    task
        What is said of a sample: `classification` (one class), `multilabel` (any number of labels) or `regression` (one number
        or several); or another of `pipelines.models.objectives.TASKS`.

    Attributes
    ----------
    classes
        What the logits are of, as the training labels have it; None before training, and for numbers.
    target_mean, target_scale
        `[c]` each, of the numbers trained on, which the classifier learns standardised; None before training, and for others.
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
    target_mean: torch.Tensor | None
    target_scale: torch.Tensor | None

    def __init__(
        self,
        backbone: Any,
        classifier: nn.Module,
        freeze_backbone: bool = True,
        *,
        standardize: bool = False,
        store: str | FeatureStore = "features",
        task: str = "classification",
    ) -> None:
        super().__init__()
        samples, self.task = read_task(task)
        if not isinstance(backbone, nn.Module):
            backbone = BackboneModule.load(backbone, samples, output="tokens" if takes_tokens(classifier) else None)
        self.backbone = backbone
        self.classifier = classifier
        self.standardize = standardize
        self.store = store
        self.classes: list[Any] | None = None
        self.trained: Cost | None = None
        self.made_of: dict[str, Any] | None = None
        for name in ("feature_mean", "feature_scale", "standardized_on", "target_mean", "target_scale"):
            self.register_buffer(name, None)
        self.register_load_state_dict_pre_hook(_make_room)
        if standardize:
            self._make_scaling(self.adapted("standardize").width())
        self.backbone.requires_grad_(not freeze_backbone)
        self.train(self.training)

    @classmethod
    def from_pretrained(
        cls,
        name: Any,
        task: str = "classification",
        num_classes: int | None = None,
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
            One of `pipelines.models.objectives.TASKS`: what is said of a sample, and which kind of samples the backbone is to
            take.
        num_classes
            How many classes, labels, or numbers a sample there are; None: 2 classes, 1 number.
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
        samples, kind = read_task(task)
        check_name(classifier)
        outputs = count_outputs(num_classes, kind)
        if output is None and (classifier == "attention" or (isinstance(classifier, nn.Module) and takes_tokens(classifier))):
            output = "tokens"
        backbone = BackboneModule.load(name, samples, output, device, **settings)
        made_of = None
        if isinstance(classifier, str):
            made_of = describe_classifier(classifier, backbone.width(), outputs, hidden_dim, dropout)
            head = CLASSIFIERS[classifier](**made_of["params"])
        else:
            head = classifier if isinstance(classifier, nn.Module) else classifier(backbone.width(), outputs)
        model = cls(backbone, head, freeze_backbone, standardize=standardize, store=store, task=task)
        model.made_of = made_of
        return model.to(backbone.device)

    def forward(self, inputs: Any) -> torch.Tensor:
        """Return logits `[b, c]`, or numbers as the training labels have them.

        Parameters
        ----------
        inputs
            A preprocessed batch; or raw texts or images, where the backbone is a pretrained one.
        """
        found = self.classify(self.features(inputs))
        return found if self.target_mean is None else found * self.target_scale + self.target_mean

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
        """Return logits `[b, c]`, or standardised numbers, of features `[b, d]`, or of tokens `[b, t, d]` with their mask."""
        values, *mask = features if isinstance(features, tuple) else (features,)
        if self.feature_mean is not None:
            values = (values - self.feature_mean) / self.feature_scale
        logits: torch.Tensor = self.classifier(values, *mask)
        return logits

    @property
    def knows_targets(self) -> bool:
        """Whether it is known what the outputs are of."""
        return (self.target_mean if self.task == "regression" else self.classes) is not None

    @property
    def objective(self) -> Objective:
        """What the outputs say; raises `UsageError` before training."""
        if self.target_mean is not None and self.target_scale is not None:
            return Numbers(self.target_mean.float().cpu().numpy(), self.target_scale.float().cpu().numpy())
        if self.classes is not None:
            return Labels(self.classes) if self.task == "multilabel" else Classes(self.classes)
        raise UsageError("the model does not know what its outputs are of yet; call train first")

    def learn(self, objective: Objective) -> None:
        """Note what the outputs are of."""
        if isinstance(objective, Numbers):
            device = next(self.classifier.parameters()).device
            self.target_mean = torch.as_tensor(objective.mean, device=device)
            self.target_scale = torch.as_tensor(objective.scale, device=device)
        elif isinstance(objective, Classes | Labels):
            self.classes = list(objective.names)

    @contextmanager
    def in_training_units(self) -> Iterator[None]:
        """Have `forward` give what the classifier gives, of which losses are, for a while."""
        mean, scale = self.target_mean, self.target_scale
        self.target_mean = self.target_scale = None
        try:
            yield
        finally:
            self.target_mean, self.target_scale = mean, scale

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
            If there is no such part (see `find_parts`), or the backbone computes in float16; nothing is changed then.
        """
        if isinstance(self.backbone, BackboneModule):
            refuse_float16(self.backbone.spec.precision)
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
        save_model(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", store: str | FeatureStore = "features") -> "FeatureBasedModel":
        """Load a saved model, in evaluation mode; its backbone is frozen.

        Raises
        ------
        RunError
            If the folder holds no such model, or the backbone's weights are no longer those it was trained on.
        """
        return load_model(cls, Path(folder), device, store)

    def _make_scaling(self, width: int) -> None:
        self.feature_mean, self.feature_scale = torch.zeros(width), torch.ones(width)
        self.standardized_on = torch.tensor(0)


def _make_room(model: FeatureBasedModel, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Have a model for numbers take the mean and scale of those that saved weights were trained on."""
    for name in ("target_mean", "target_scale"):
        if model.task == "regression" and f"{prefix}{name}" in state:
            setattr(model, name, torch.empty_like(state[f"{prefix}{name}"], device=next(model.classifier.parameters()).device))
