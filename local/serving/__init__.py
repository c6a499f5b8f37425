"""Modules that every server of this machine shares: settings, a log, ports, and a rule against pages of other sites.

`local.gateway` and `local.auth` import this package and nothing else of the project. The package itself imports the
standard library only (local/gateway/tests/test_imports.py).
"""
