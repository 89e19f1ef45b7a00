"""The subcommands of `veriframe`, one file each: `add` describes the arguments, the rest calls the library."""

import argparse
from typing import TypeAlias

Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
