"""The parent of generated modules: `fusionc.generated.NAME_…` is imported like any other module, from any process.

The name of such a module holds the diagram and the options it is compiled with (`request`), so that a pickle that
names it, or one of its classes and functions, can be loaded wherever fusionc is installed. The text comes from the
cache (`store`) or from the compiler (`modules`).
"""

from fusionc.generated.modules import install

install()
