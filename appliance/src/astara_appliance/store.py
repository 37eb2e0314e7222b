"""Remember the committed document, the one on trial, the epoch and the push counters over restarts
and reboots.

One file, replaced as a whole, sealed by a checksum, readable by root alone (documents hold keys).
The generation before is kept beside it and taken when the file turns out to be damaged. It never
decides what is committed. Called by the pipeline.

Documents stay the bytes that they are on disk: as objects they take four times the memory.
"""

import contextlib
import hashlib
import logging
import os
import pathlib

import msgspec

from astara_contract.document import Document

from . import clock
from .system import files

LOG = logging.getLogger(__name__)

STATE_FILE = "config.json"
PREVIOUS_FILE = "config.previous.json"
_CHECKSUM, _END = ',"checksum":"', '"}'


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration in effect that ends by itself unless it is confirmed in time."""

    document: msgspec.Raw
    digest: str
    boot: str
    deadline_s: float
    """In seconds since that boot."""


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What is confirmed; `document` is null before the first push."""

    document: msgspec.Raw = msgspec.Raw(b"null")
    digest: str | None = None
    epoch: int = 0
    applied_at: str | None = None
    pushes_applied: int = 0
    pushes_unchanged: int = 0
    trial: Trial | None = None

    @property
    def running_digest(self) -> str | None:
        """The digest of what is in effect."""
        return self.trial.digest if self.trial else self.digest


def committed_document(committed: Committed) -> Document | None:
    """Return what is confirmed, None before the first push."""
    return msgspec.json.decode(committed.document, type=Document | None)


def document_in_effect(committed: Committed) -> Document:
    """Return what the appliance is to be now; the empty document before the first push."""
    if committed.trial is not None:
        return msgspec.json.decode(committed.trial.document, type=Document)
    return committed_document(committed) or Document()


def left_s(trial: Trial, now: clock.Moment) -> float:
    """Return the seconds that a trial may still last. None of it survives a reboot: how long that
    took nobody knows.
    """
    return max(0.0, trial.deadline_s - now.seconds) if trial.boot == now.boot else 0.0


class Store:
    """The state file."""

    def __init__(self, state_dir: pathlib.Path) -> None:
        self._file = state_dir / STATE_FILE
        self._previous = state_dir / PREVIOUS_FILE
        self.unreadable = False
        """There were files but none could be understood: what runs came from a document that we do
        not know.
        """
        self._is_sound = True

    def load(self) -> Committed:
        """Return what was saved last, the generation before if that is damaged, else a blank
        state.
        """
        for path in (self._file, self._previous):
            text = files.read_file(path)
            if text is None:
                continue
            try:
                found = _unseal(text)
            except ValueError as error:
                LOG.error("state.damaged file=%s error=%s", path, error)
                self.unreadable = True
                self._is_sound = False
                continue
            self.unreadable = False
            return found
        return Committed()

    def save(self, committed: Committed) -> None:
        """Put `committed` on disk before returning."""
        if self._is_sound:
            self._keep_previous()
        files.write_file(self._file, _seal(committed), 0o600)
        self.unreadable = False
        self._is_sound = True

    def _keep_previous(self) -> None:
        fresh = self._previous.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        with contextlib.suppress(FileNotFoundError):
            os.link(self._file, fresh)
            fresh.replace(self._previous)


def _seal(committed: Committed) -> str:
    text = msgspec.json.encode(committed).decode()
    # The checksum is one more key at the end, so that the file stays one JSON object.
    return f"{text[:-1]}{_CHECKSUM}{_checksum(text)}{_END}"


def _unseal(text: str) -> Committed:
    """Return the state in `text`; ValueError if it is damaged. One without a checksum is from a
    release that wrote none.
    """
    body, found, checksum = text.rpartition(_CHECKSUM)
    if found and checksum != f"{_checksum(body + '}')}{_END}":
        raise ValueError("the checksum does not fit")
    committed = msgspec.json.decode(text, type=Committed)
    committed_document(committed)
    document_in_effect(committed)
    return committed


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
