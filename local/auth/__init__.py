"""A small real Auth service for one machine: what the Users service needs of Magistrala's Auth and SpiceDB.

Wire and behaviour are those of the Users service (contract §4.4, §5.1–§5.6, §5.8), upstream's weaknesses included:
what has to be secure must be secure in the service that calls this one. ``AUTH_STRICT=1`` adds rotation of
refresh tokens and a check of ownership at Revoke, and takes API keys of role 0. Nothing here imports from
``layers/``, and nothing there imports this. Run it with ``python -m local.auth serve``.
"""
