"""Stores in a bucket: fsspec's talk with it, a mirror of what has been looked at, shards read whole or in parts."""

from cache.bucket.mirror import Mirror
from cache.bucket.place import BucketPlace
from cache.bucket.remote import MissingError, Remote

__all__ = ["BucketPlace", "Mirror", "MissingError", "Remote"]
