"""One engine, and what it needs to train anything: tasks, optimizer, running average, checkpoints, books."""
