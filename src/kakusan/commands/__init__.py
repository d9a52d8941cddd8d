"""The command line: one command a file, thin. What is heavy is imported by the command that needs it."""

from kakusan.commands.front import main

__all__ = ["main"]
