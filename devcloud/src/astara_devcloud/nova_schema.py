"""Create Nova's schemas and cells: four nova-manage commands in one process.

``nova-manage api_db sync``, ``cell_v2 map_cell0``, ``db sync`` and ``cell_v2 create_cell`` each
spend several seconds on importing Nova; here it is imported once. Run by ``schema`` as a program
with the configuration file and the URL of cell 0's database.
"""

import sys

from nova import config, context, objects
from nova.cmd import manage

FIRST_CELL = "cell1"


def main() -> int:
    """Bring the schemas up to date and make sure that both cells exist."""
    configuration, cell0_url = sys.argv[1:]
    config.parse_args(["nova-manage", "--config-file", configuration])
    objects.register_all()
    cells = manage.CellV2Commands()
    for status in (
        manage.ApiDbCommands().sync(),
        cells.map_cell0(cell0_url),
        manage.DbCommands().sync(),
    ):
        if status:
            return int(status)
    known = objects.CellMappingList.get_all(context.get_admin_context())
    if any(cell.name == FIRST_CELL for cell in known):
        return 0
    return int(cells.create_cell(FIRST_CELL))


if __name__ == "__main__":
    sys.exit(main())
