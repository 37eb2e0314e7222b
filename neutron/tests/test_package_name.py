"""The name of this folder does not hide the package that it is written for."""

import importlib
import pathlib


def test_neutron_is_the_installed_package_although_our_folder_has_its_name() -> None:
    neutron = importlib.import_module("neutron")
    assert neutron.__file__ is not None
    assert pathlib.Path(__file__).parents[1] not in pathlib.Path(neutron.__file__).parents
    assert importlib.import_module("neutron.version")
