"""The feature store: keys, recipes, shards, the store itself, data set tables. No torch, no network."""

from cache.errors import HeadstartError, StoreError, StoreWarning
from cache.keys import as_key_array, image_key, image_text_key, pixels_key, text_key, view_key
from cache.lease import Lease
from cache.memo import remembered, remembered_all
from cache.ragged import Ragged
from cache.recipe import Recipe
from cache.rows import StoredRows
from cache.shard import DamagedShardError, Shard
from cache.store import FeatureStore, Holding
from cache.stored_table import Names, StoredTable
from cache.table import Origin, Table, read_table, write_table
from cache.table_writer import TableWriter

__all__ = [
    "DamagedShardError",
    "FeatureStore",
    "HeadstartError",
    "Holding",
    "Lease",
    "Names",
    "Origin",
    "Ragged",
    "Recipe",
    "Shard",
    "StoreError",
    "StoreWarning",
    "StoredRows",
    "StoredTable",
    "Table",
    "TableWriter",
    "as_key_array",
    "image_key",
    "image_text_key",
    "pixels_key",
    "read_table",
    "remembered",
    "remembered_all",
    "text_key",
    "view_key",
    "write_table",
]
