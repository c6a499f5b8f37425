"""`make sam-local`: what `sam local` needs to run the functions in containers beside the system of `make run`.

`template.py` writes a template whose values are all known, `relay.py` lets containers reach the parts of `make run`,
which listen on 127.0.0.1 only, `filled_events.py` puts real tokens into events, and `stand_in.py` makes an image where
the registry of Amazon's cannot be reached.
"""
