"""Models, trainers and what looks at them, as in PyTorch: a backbone and a classifier that train through the cache."""
