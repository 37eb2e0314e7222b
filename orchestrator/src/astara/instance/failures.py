"""Turn what clients raise into what the automaton understands, in one place.

ServiceError            -> InstanceError
  Unavailable, Busy        Retry           somebody is away or in the middle of something
  NotFound                 Retry           it vanished between two reads: look again
  StoreError               Retry           whose certificate is the right one cannot be read
  ApplyFailed              ConfigureFailed
  NeedsOperator            OperatorError
  Rejected (and below)     OperatorError   a bug or a mismatch of versions, named in the text
  FunctionFailed           OperatorError   a package of somebody else, named in the text

Wraps every verb of an instance and the pages of the inventory.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from .. import store
from ..clients import appliance, errors
from ..drivers.router import functions
from ..machine import instance_port


@contextmanager
def translated() -> Iterator[None]:
    """Let a block raise nothing of the clients."""
    try:
        yield
    except errors.Unavailable as error:
        raise instance_port.Retry(str(error), error.retry_after_s) from error
    except (errors.Busy, errors.NotFound, store.StoreError) as error:
        raise instance_port.Retry(str(error)) from error
    except appliance.ApplyFailed as error:
        raise instance_port.ConfigureFailed(str(error)) from error
    except errors.QuotaExceeded as error:
        remedy = "raise the quota of the service project"
        raise instance_port.OperatorError(f"{error}; {remedy}") from error
    except errors.Denied as error:
        remedy = "check [keystone_authtoken] and that its user has the roles admin and service"
        raise instance_port.OperatorError(f"{error}; {remedy}") from error
    except (errors.ServiceError, functions.FunctionFailed) as error:
        raise instance_port.OperatorError(str(error)) from error
