"""Experiments that end in a finding: each trains or takes runs, measures, and writes a report."""
