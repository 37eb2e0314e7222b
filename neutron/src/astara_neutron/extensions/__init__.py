"""API extensions; Neutron loads every module here by path, its class named like the file."""

ROUTERS_ALIAS = "astara-router"
STATUS_ALIAS = "dhrouterstatus"
