"""Figures and the self-contained HTML report: numbers in, one page out that a person likes to read."""
