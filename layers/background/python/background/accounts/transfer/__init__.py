"""The transfer of users between installations as NDJSON: ``export`` writes one account per line, ``import`` reads it.

``line`` is the format. ``exporting`` reads the whole table in a steady order, ``importing`` fills it in batches.
"""
