"""Every call that logs, in every product package, names an event and its facts in one template."""

import ast
import pathlib

import pytest

from astara_contract import logline

ROOT = pathlib.Path(__file__).parent.parent
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def calls(package):
    for path in sorted((ROOT / package / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "LOG"
                and node.func.attr in {*LEVELS, "log"}
            ):
                template = node.args[1 if node.func.attr == "log" else 0]
                yield f"{path.relative_to(ROOT)}:{node.lineno}", template


@pytest.mark.parametrize("package", ["orchestrator", "appliance"])
def test_each_call_is_of_the_form(package):
    found = list(calls(package))
    assert len(found) > 20
    wrong = {
        where: ast.unparse(template)
        for where, template in found
        if not isinstance(template, ast.Constant) or not logline.well_formed(template.value)
    }
    assert wrong == {}
