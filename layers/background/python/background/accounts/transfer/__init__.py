"""Moving users between installations as NDJSON: one account per line, written by ``export`` and read by ``import``.

``line`` is the format; the two others read the table whole and in a steady order, and fill it in batches.
"""
