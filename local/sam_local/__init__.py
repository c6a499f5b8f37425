"""`make sam-local`: everything that `sam local` needs to run the functions in containers beside `make run`.

| module | what |
|---|---|
| `serving.py` | builds the functions, then keeps all of the following ready until Ctrl-C |
| `place.py` | the paths of the files |
| `engine.py` | asks Docker |
| `template.py` | writes a template without unknown values |
| `addresses.py`, `relay.py` | let containers reach the parts of `make run`, which listen on 127.0.0.1 only |
| `committed_events.py`, `running_system.py`, `filled_events.py` | put real tokens and ids into the events of events/ |
| `stand_in.py` | makes an image for machines that cannot reach Amazon's registry |
"""
