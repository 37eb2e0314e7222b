"""Remember the committed document, its epoch and the push counters over restarts and reboots.

One file, replaced as a whole, readable by root alone (the document holds keys). It never decides
what is committed. Called by the pipeline.
"""

import logging
import pathlib

import msgspec

from astara_contract.document import Document

from .system import files

LOG = logging.getLogger(__name__)

STATE_FILE = "config.json"


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What is in effect; `document` is None before the first push."""

    document: Document | None = None
    digest: str | None = None
    epoch: int = 0
    applied_at: str | None = None
    pushes_applied: int = 0
    pushes_unchanged: int = 0


class Store:
    """The state file."""

    def __init__(self, state_dir: pathlib.Path) -> None:
        self._file = state_dir / STATE_FILE
        self.unreadable = False
        """The file was there but could not be understood: what runs came from a document that we
        do not know.
        """

    def load(self) -> Committed:
        """Return what was saved last, or a blank state."""
        text = files.read_file(self._file)
        if text is None:
            return Committed()
        try:
            return msgspec.json.decode(text, type=Committed)
        except msgspec.DecodeError as error:
            LOG.error("state-unreadable file=%s error=%s", self._file, error)
            self.unreadable = True
            return Committed()

    def save(self, committed: Committed) -> None:
        """Put `committed` on disk before returning."""
        files.write_file(self._file, msgspec.json.encode(committed).decode(), 0o600)
        self.unreadable = False
