"""The checks, one file per topic: a file that is here is a topic of its name, with a function ``checks`` that yields its checks.

The functions that measure are shared with the package's tests, which ask for more cases and often for less error.
"""
