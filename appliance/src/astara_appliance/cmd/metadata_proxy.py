"""astara-metadata-proxy <settings file>: run the metadata proxy in the foreground.

Gives up root first: what tenants talk to must not be able to change the appliance. The settings
file is readable for its group. Started by the metadata driver.
"""

import os
import sys

from .. import logs
from ..metadata_proxy import server
from ..metadata_proxy.settings import PROXY_ID


def main() -> None:
    """Run until killed."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: astara-metadata-proxy <settings file>")
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(PROXY_ID, PROXY_ID, PROXY_ID)
        os.setresuid(PROXY_ID, PROXY_ID, PROXY_ID)
    logs.start("metadata-proxy")
    server.Server(sys.argv[1]).run()


if __name__ == "__main__":
    main()
