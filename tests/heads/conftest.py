import numpy as np
import pytest


@pytest.fixture(scope="session")
def blobs():
    """Features of three overlapping classes, unit length like a sentence encoder's, and their names."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 20))
    codes = rng.integers(3, size=600)
    X = centres[codes] + 2.5 * rng.normal(size=(600, 20))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X.astype(np.float32), np.array(["neg", "neu", "pos"])[codes]


@pytest.fixture(scope="session")
def bags():
    """Samples of 1 to 9 tokens; the class is what the one large token points to."""
    rng = np.random.default_rng(0)
    samples, y = [], rng.integers(3, size=300)
    for code in y:
        tokens = rng.normal(size=(rng.integers(1, 10), 12))
        tokens[rng.integers(len(tokens)), code] += 6
        samples.append(tokens.astype(np.float32))
    return samples, np.array(["a", "b", "c"])[y]
