"""What can go wrong with the database, split by what the caller does about it.

StoreError
  Unavailable   try later: no answer in time, connection refused or lost, busy
  NotMigrated   the schema is not the one this release needs: run `astara-dbsync upgrade`
"""


class StoreError(Exception):
    """A call to the database failed; `str()` is a sentence for the operator."""


class Unavailable(StoreError):
    """Say that the database did not answer, or not in time; nothing was learned."""


class NotMigrated(StoreError):
    """Say that the schema is not at the revision that this release needs, with the remedy."""
