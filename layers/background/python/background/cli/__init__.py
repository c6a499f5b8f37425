"""The operator's commands, ``python -m users …``, with click. Each group of commands has a module.

``application`` is the entry. ``command`` is the frame of every command. ``configuration`` chooses the installation.
``console`` writes the output. ``failures`` turns an error into a message and an exit code. The commands call the other
packages of ``background``, and run the same SQL statements as the API's operations.
"""
