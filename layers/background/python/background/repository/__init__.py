"""All SQL of background work, one module for each subject.

The SQL of the API's operations is in ``users.repository``. The schema, its migrations and the takeover of a database
are in ``background.setup``. Every function runs one statement, except in ``transfer``, whose functions run in
a transaction of the caller.
"""
