"""Healthy input, damaged by chance, for every door of the program: no command may misbehave.

    python -m tests.fuzz --cases 10000 --seed 0          as `make fuzz`
    python -m tests.fuzz --door folders --case 17        one case again, with all it printed

A door (`doors/`) builds its input once, names what may happen to it, and gives it to a public
command. Each case is a process of its own (`runner.py`), and what it did has one name (`judge.py`):
it worked, it refused in one sentence, or it failed.
"""

import os

# Read when the libraries are imported, which the modules of this package do.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
