"""Import oslo.messaging in such a way that it works on native threads.

Its server module asks oslo.service for a backend, which is eventlet unless somebody has chosen
before. Heavy: only processes that need the message bus call this.
"""

import typing
import warnings


def load() -> typing.Any:
    """Give the module `oslo_messaging`."""
    with warnings.catch_warnings():
        # futurist imports eventlet where it finds it installed; nothing of it is used.
        warnings.simplefilter("ignore")
        from oslo_service import backend

        # Harmless when it was chosen before; raises if somebody in this process chose otherwise.
        backend.init_backend(backend.BackendType.THREADING)
        import oslo_messaging

    return oslo_messaging
