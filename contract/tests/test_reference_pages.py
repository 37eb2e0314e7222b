"""The committed reference pages are those that the code generates."""

from pathlib import Path

import pytest

from astara_contract import reference

DOCS = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_page_is_current(name: str) -> None:
    assert (DOCS / name).read_bytes() == reference.pages()[name], "run: make docs"
