"""Metadata for tenants: what the proxy is told, and that it runs."""

from .driver import MetadataDriver

__all__ = ["MetadataDriver"]
