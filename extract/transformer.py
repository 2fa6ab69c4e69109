"""`FeatureExtractor`: extraction as a scikit-learn transformer, through the cache."""

import dataclasses
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from extract.backbones.spec import BackboneSpec
from extract.errors import BadSampleError
from extract.extractor import extract


class FeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn samples into a frozen backbone's features, each sample once.

    Parameters
    ----------
    backbone
        URI or well-known name.
    store
        The feature store's folder.
    outputs
        What to keep, as for `extract`; several outputs are put side by side.
    max_length, prompt, window_overlap, tokenizer, lowercase, truncation_side
        Of texts, as in `BackboneSpec`.
    image_size, mean, std, interpolation, crop_fraction, resize_mode
        Of images, as in `BackboneSpec`.
    precision, dtype, trust_remote_code
        As in `BackboneSpec`.
    views
        Augmented views, as `Views` or a mapping of its fields; an image's features then are the mean of its views.
    device
        `auto`, `cpu`, `cuda`, ...

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from heads import LinearHead
    >>> pipeline = make_pipeline(FeatureExtractor("all-MiniLM-L6-v2"), LinearHead())  # doctest: +SKIP
    """

    def __init__(
        self,
        backbone: str = "all-MiniLM-L6-v2",
        store: str = "features",
        outputs: Any = None,
        max_length: int | None = None,
        prompt: str | None = None,
        precision: str = "auto",
        dtype: str = "float32",
        device: str = "auto",
        window_overlap: int | None = None,
        trust_remote_code: bool = False,
        image_size: int | None = None,
        views: Any = None,
        mean: Any = None,
        std: Any = None,
        interpolation: str | None = None,
        crop_fraction: float | None = None,
        resize_mode: str | None = None,
        tokenizer: str | None = None,
        lowercase: bool = False,
        truncation_side: str | None = None,
    ) -> None:
        self.backbone = backbone
        self.store = store
        self.outputs = outputs
        self.max_length = max_length
        self.prompt = prompt
        self.precision = precision
        self.dtype = dtype
        self.device = device
        self.window_overlap = window_overlap
        self.trust_remote_code = trust_remote_code
        self.image_size = image_size
        self.views = views
        self.mean = mean
        self.std = std
        self.interpolation = interpolation
        self.crop_fraction = crop_fraction
        self.resize_mode = resize_mode
        self.tokenizer = tokenizer
        self.lowercase = lowercase
        self.truncation_side = truncation_side

    def fit(self, X: Any, y: Any = None) -> "FeatureExtractor":
        """Do nothing: a frozen backbone has nothing to learn."""
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features `[n, d]` of `n` samples.

        Raises
        ------
        BadSampleError
            If a sample cannot be extracted: every row must have its features here.
        """
        spec = BackboneSpec(**{field.name: getattr(self, field.name) for field in dataclasses.fields(BackboneSpec)})
        if getattr(X, "ndim", 1) == 2 and X.shape[1] == 1:  # a data frame, or array, of one column
            X = X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0]
        features = extract(X, spec, self.store, self.outputs, device=self.device, keep_table=False)
        if features.skipped:
            first = features.skipped[0]
            raise BadSampleError(f"sample {first.row}: {first.reason} ({len(features.skipped)} such); leave it out of X")
        if features.views is not None:
            parts: list[Any] = [features.by_view(output).mean(axis=1) for output in features.outputs]
        else:
            parts = [features.array(output) for output in features.outputs]
        together: np.ndarray = np.concatenate(parts, axis=1)
        self._n_features_out = together.shape[1]
        return together

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        return tags
