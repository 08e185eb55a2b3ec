"""Runtime folders: the runner and the libraries that an ABI needs to run a bundle.

A Runtime folder is flat and carries `runtime.json`, which lists its files with their
sha256. `find_runtime` gives the one of the user's cache and makes it when it is missing;
`build_runtime` makes one where the user wants it; `load_runtime` reads one that was given.

executorch and onnxruntime-qnn are used as files here and never imported.
"""

from harness.runtime.check import check_runtime, check_runtime_serves
from harness.runtime.find import find_runtime
from harness.runtime.folder import (
    RUNTIME_FILE,
    FileEntry,
    Runtime,
    load_runtime,
)
from harness.runtime.make import build_runtime

__all__ = [
    "RUNTIME_FILE",
    "FileEntry",
    "Runtime",
    "build_runtime",
    "check_runtime",
    "check_runtime_serves",
    "find_runtime",
    "load_runtime",
]
