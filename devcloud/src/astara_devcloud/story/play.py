"""Play the story: bring the cloud up, run the steps, print the table.

Exit status 0 if every check held, 1 otherwise. Everything is left running, so that people can look
around; a story that is played again first clears what the last one left with the tenant.
"""

import time

from astara_devcloud import clients, lifecycle
from astara_devcloud.story import report, steps, tenant

LOOK_AROUND = """
The cloud is still running. To look around:
  eval "$(.venv/bin/astara-devcloud env --user tenant)"   then: openstack router create r
                                                          and: astara-ctl list; astara-ctl show r
  .venv/bin/astara-devcloud status                        services, logs, servers
  make demo-down                                          stop everything
  make demo-wipe                                          and remove its data
"""


def play(start: lifecycle.Start, json_too: bool = False) -> int:
    """Play all steps on the cloud that has come up by `start`; return the exit status."""
    told = report.Report(say=lambda text: print(text, flush=True))  # noqa: T201  this is the output
    scene = steps.Scene(
        tenant=tenant.Tenant(clients.connect("tenant")),
        service=clients.connect("service"),
        report=told,
    )
    started = time.monotonic()
    told.begin("0. The cloud and the orchestrator come up.", already_s=start.seconds)
    told.check(True, start.kind, f"{start.services} services", start.seconds)
    told.end()
    scene.tenant.clear()
    for number, step in enumerate(steps.STEPS, start=1):
        if not _perform(number, step, scene):
            break
    _summary(told, time.monotonic() - started)
    if json_too:
        print(told.as_json())  # noqa: T201
    return 1 if told.failed else 0


def _perform(number: int, step: steps.Step, scene: steps.Scene) -> bool:
    """Run one step; later steps need what earlier ones made, so a failure ends the story."""
    told = scene.report
    told.begin(f"{number}. {(step.__doc__ or step.__name__).strip()}")
    try:
        step(scene)
    except report.StepFailed:
        return False
    except Exception as error:  # the loop boundary of the story: any failure is a row of the table
        told.rows.append(report.Row(told.step, f"{type(error).__name__}: {error}", ok=False))
        told.say(report.line(told.rows[-1]))
        return False
    finally:
        told.end()
    return True


def _summary(told: report.Report, seconds: float) -> None:
    told.say("\n" + "\n".join(told.table()))
    for row in told.failed:
        told.say(report.line(row))
    not_reached = len(steps.STEPS) + 1 - len(told.step_seconds)
    told.say(
        f"\n{len(told.rows) - len(told.failed)} checks held, {len(told.failed)} failed,"
        f" {not_reached} steps not reached, {seconds:.0f} s"
    )
    told.say(LOOK_AROUND)
