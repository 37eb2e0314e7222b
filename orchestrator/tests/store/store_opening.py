"""Open a database by its URL alone."""

from astara.store import address, database


def opened(url, timeout_s=5.0):
    return database.open_database(address.url_of(url, "/nonexistent", timeout_s), timeout_s)
