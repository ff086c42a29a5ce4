"""A stand-in for CuPy where there is no GPU: NumPy inside, refusing what CuPy refuses.

`libraries()` gives what `graphir_cupy.CupyRuntime` takes in place of the modules cupy and cupyx. table.json says which names and parameters they have, and
is made from the installed package; see make_table.py. What only a GPU can show (speed, streams, rounding, the compiler) is not shown here.
"""

from .array import Array, DuplicateIndex, Synchronisation, counted
from .library import TABLE, libraries

__all__ = ["TABLE", "Array", "DuplicateIndex", "Synchronisation", "counted", "libraries"]
