"""All SQL of the API's operations, one module for each subject.

Every function runs one statement (``statements.Statement``), hence one round trip and one transaction. The module named
after a table, or after the subject of its rows, holds all parts that write that table. The SQL of background work is in
``background.repository``.
"""
