"""Make the modules beside the tests importable: the scripted cloud and the virtual clock."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
