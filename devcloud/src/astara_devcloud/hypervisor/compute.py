"""Console script `astara-devcloud-compute`: Nova's own nova-compute with our driver.

Nova imports nothing but `nova.virt.<compute_driver>`, so our driver is given such a name before
nova-compute starts.
"""

import sys

PACKAGE = "astara_devcloud"  # nova.conf: compute_driver = astara_devcloud.NamespaceDriver


def main() -> None:
    """Run nova-compute; its arguments are Nova's."""
    import nova.cmd.compute  # first: it chooses the threading backend for all that follows
    import nova.virt

    from . import driver

    sys.modules[f"nova.virt.{PACKAGE}"] = driver
    setattr(nova.virt, PACKAGE, driver)
    sys.exit(nova.cmd.compute.main())
