"""The command line: one command a file, thin. What is heavy is imported by the command that needs it."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status, as :func:`kakusan.commands.front.main` says.

    Args:
        arguments: What follows the program's name; by default what was typed.
    """
    try:
        from kakusan.commands import front
    except KeyboardInterrupt:  # of an impatient person, before there was a command to interrupt
        print("kakusan: interrupted", file=sys.stderr)
        return 130
    return front.main(arguments)
