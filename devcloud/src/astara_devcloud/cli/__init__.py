"""The command ``astara-devcloud``."""

from astara_devcloud.cli.program import main

__all__ = ["main"]
