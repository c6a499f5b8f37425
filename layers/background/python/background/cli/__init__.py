"""The operator's commands, ``python -m users …``: one module per group of commands, on click.

``application`` is the entry, ``command`` the frame of every command, ``configuration`` says which installation is
meant, ``console`` writes, ``failures`` turns what can go wrong into a message and an exit code. What the commands do
lies beside this package, in ``operations``, and goes through the same statements as the API's operations.
"""
