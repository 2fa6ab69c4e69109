"""The feature store: keys, recipes, shards, the store itself, data set tables. No torch, no network."""

from cache.errors import HeadstartError, StoreError
from cache.keys import as_key_array, text_key
from cache.lease import Lease
from cache.memo import remembered
from cache.ragged import Ragged
from cache.recipe import Recipe
from cache.rows import StoredRows
from cache.shard import DamagedShardError, Shard
from cache.store import FeatureStore, Holding, StoreWarning
from cache.table import Origin, Table, read_table, write_table

__all__ = [
    "DamagedShardError",
    "FeatureStore",
    "HeadstartError",
    "Holding",
    "Lease",
    "Origin",
    "Ragged",
    "Recipe",
    "Shard",
    "StoreError",
    "StoreWarning",
    "StoredRows",
    "Table",
    "as_key_array",
    "read_table",
    "remembered",
    "text_key",
    "write_table",
]
