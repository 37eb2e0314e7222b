"""Ask Glance whether an image can be booted; the only place that talks to it."""

import msgspec

from .rest import Service


class _Image(msgspec.Struct, frozen=True):
    status: str


class Glance:
    """The calls to Glance; safe to share between threads."""

    def __init__(self, service: Service):
        self._service = service

    def image_status(self, image_id: str) -> str:
        """Return the status of an image, `active` if it can be booted; raises NotFound."""
        return self._service.get(f"/v2/images/{image_id}", _Image).status
