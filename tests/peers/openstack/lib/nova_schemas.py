"""`nova-manage api_db sync`, `cell_v2 map_cell0`, `cell_v2 create_cell` and `db sync` in one interpreter, because Nova's
imports are slow. The arguments are those of oslo.config."""
import sys

from nova import config, objects
from nova.cmd import manage
from nova.conf import CONF

config.parse_args(["nova-manage", *sys.argv[1:]])
objects.register_all()
cells = manage.CellV2Commands()
sys.exit(
    manage.ApiDbCommands().sync()
    or cells.map_cell0(CONF.database.connection.replace("/nova_cell1?", "/nova_cell0?"))
    or cells.create_cell("cell1") not in (0, 2)  # 2: it is there
    or manage.DbCommands().sync()
)
