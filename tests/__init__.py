"""The laws that the library keeps.

A package, for one of this name among the installed libraries would be found first.
"""
