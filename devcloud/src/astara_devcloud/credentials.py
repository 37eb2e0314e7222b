"""The cloud's passwords and shared secrets.

They are drawn once, at the first start, and kept in one file that only root can read. Nothing
here is ever printed, except by ``astara-devcloud env``, which exists to do so.
"""

import dataclasses
import json
import os
import pathlib
import secrets


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """One secret per party, so that each can be revoked or tested alone."""

    admin: str
    demo: str
    other: str
    nova: str
    neutron: str
    glance: str
    placement: str
    astara: str
    broker: str
    broker_astara: str
    metadata_proxy: str
    metrics: str
    erlang_cookie: str


def draw() -> Credentials:
    """Draw fresh secrets. Hexadecimal, because INI and URL syntax both leave that alone."""
    return Credentials(**{f.name: secrets.token_hex(16) for f in dataclasses.fields(Credentials)})


def load(path: pathlib.Path) -> Credentials:
    """Read the secrets of an existing cloud; FileNotFoundError if it was never started.

    Secrets that came later than that cloud are drawn and kept.
    """
    known = json.loads(path.read_text())
    complete = dataclasses.asdict(draw()) | known
    if complete.keys() != known.keys():
        path.write_text(_text(complete))
    return Credentials(**complete)


def load_or_create(path: pathlib.Path) -> Credentials:
    """Read the secrets, or draw and store them at the first start."""
    try:
        return load(path)
    except FileNotFoundError:
        drawn = draw()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(_text(dataclasses.asdict(drawn)))
    return drawn


def _text(secrets_by_name: dict[str, str]) -> str:
    return json.dumps(secrets_by_name, indent=1) + "\n"
