"""Assemble the agent: drivers, pipeline, watch loops, routes.

It decides what belongs together and nothing else. Called once by `cmd.agent`.
"""

import importlib.metadata
from typing import TYPE_CHECKING

from astara_contract import structs

from . import clock, facts, inventory, pipeline, store, watch
from .api import routes, server, views
from .drivers import hangs, registry
from .system import files, memory, tls

if TYPE_CHECKING:
    import flask

    from .system.paths import Paths


def assemble(
    paths: "Paths", management_mac: str, keeper: "tls.Gatekeeper | None" = None
) -> "flask.Flask":
    """Return the application; the watch loops run, the first repair is on its way."""
    for directory in (paths.state_dir, paths.run_dir):
        files.remove_leftovers(directory)
    names = facts.NicNames(paths.state_dir, management_mac)
    watch_over = hangs.Hangs(paths.run_dir, server.end)
    drivers = registry.build_drivers(paths, watch_over)
    structs.prepare()
    line = pipeline.Pipeline(drivers, names, store.Store(paths.state_dir), watch=watch_over)
    watching = watch.Watch(line, names, paths)
    watching.start()
    agent = inventory.Agent(
        version=importlib.metadata.version("astara-appliance"),
        booted_at=clock.booted_at(),
        started_at=clock.now(),
    )
    app = routes.build_app(
        views.Parts(
            line=line,
            names=names,
            watch=watching,
            paths=paths,
            agent=agent,
            keeper=keeper or tls.Gatekeeper(paths.run_dir, None),
        )
    )
    memory.settle()
    return app
