"""Backbones on a Ray cluster: actors that Ray Data keeps at work, over samples in memory or the parts of a stream."""
