"""The name of this folder does not hide the package that it is written for."""

import importlib.util
import pathlib


def test_neutron_is_the_installed_package_although_our_folder_has_its_name() -> None:
    found = importlib.util.find_spec("neutron")
    assert found is not None
    assert found.origin is not None
    assert pathlib.Path(found.origin).name == "__init__.py"
