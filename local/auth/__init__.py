"""A small real Auth service for one machine: what the Users service needs of Magistrala's Auth, SpiceDB and Domains.

README.md describes it. Nothing here imports from `layers/`, and nothing there imports from here.
"""
