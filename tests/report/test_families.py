"""The table of a result is found without importing those of all the others."""

import importlib

from llmc.report import tables
from llmc.report.tables.screen import draw


def test_every_type_that_has_a_table_is_of_a_module_that_its_family_names():
    for family in tables.FAMILIES:
        importlib.import_module(f"llmc.report.tables.{family}")
    drawn = {
        (function.__module__.rpartition(".")[2], kind.__module__)
        for kind, function in draw.registry.items()
        if kind is not object
    }
    assert drawn == {(family, module) for family, modules in tables.FAMILIES.items() for module in modules}
