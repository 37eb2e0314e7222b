"""The description of the API: current, complete, and true to the application's rules."""

import pathlib

import msgspec
import pytest

from astara_appliance.api import openapi, operations
from astara_contract import document

PAGE = pathlib.Path(__file__).parents[2] / "docs/reference/appliance-api.json"


def test_committed_description_is_current():
    assert PAGE.read_bytes() == openapi.text(), "run: make docs"


def test_every_reference_leads_somewhere():
    described = openapi.describe()
    known = described["components"]["schemas"]
    text = openapi.text().decode()
    named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(known)
    assert {"Document", "Status", "ErrorBody", "Drift", "Facts"} <= named


@pytest.mark.parametrize("operation", operations.TABLE, ids=lambda op: f"{op.method} {op.path}")
def test_operation_is_described(operation):
    described = openapi.describe()["paths"][operation.path][operation.method.lower()]
    assert described["summary"]
    assert {"200", "500"} <= set(described["responses"])
    for name in operation.path.split("{")[1:]:
        wanted = name.partition("}")[0]
        assert wanted in [item["name"] for item in described["parameters"]]


def test_document_of_the_description_is_that_of_the_contract():
    schema = openapi.describe()["components"]["schemas"]["Document"]
    assert set(schema["properties"]) == {f.name for f in msgspec.structs.fields(document.Document)}
