"""Let the operator in by ssh: the authorized keys of the user `astara`.

It never makes the user and never touches another one's keys. Called by
astara-configure-management.
"""

import logging
import os
import pathlib
import pwd
from collections.abc import Sequence

from . import files

LOG = logging.getLogger(__name__)

USER = "astara"


def install(keys: Sequence[str]) -> bool:
    """Make `keys` the ones that may log in as `astara`; return False if there is no such user or
    no key.
    """
    if not keys:
        return False
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        LOG.info("ssh_keys.skipped reason=no-user user=%s", USER)
        return False
    directory = pathlib.Path(user.pw_dir) / ".ssh"
    directory.mkdir(mode=0o700, exist_ok=True)
    target = directory / "authorized_keys"
    files.write_file(target, "".join(f"{key}\n" for key in keys), 0o600)
    for path in (directory, target):
        os.chown(path, user.pw_uid, user.pw_gid)
    return True
