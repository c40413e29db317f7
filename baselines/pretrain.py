"""`python -m baselines.pretrain`: the study `studies.pretrain`, for a clone of the repository."""

import runpy
import sys
from importlib.util import find_spec

if __name__ == "__main__":
    if find_spec("studies") is None:
        print("error: pretraining is not installed: run it in a clone of the repository")
        sys.exit(2)
    runpy.run_module("studies.pretrain", run_name="__main__")
