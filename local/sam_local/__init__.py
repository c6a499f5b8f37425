"""`make sam-local`: everything that `sam local` needs to run the functions in containers beside `make run`.

- `serving` builds the functions, then keeps everything ready until Ctrl-C.
- `place` has the paths of the files.
- `engine` asks Docker.
- `template` writes a template without unknown values.
- `addresses` and `relay` let containers reach the parts of `make run`, which listen on 127.0.0.1 only.
- `committed_events`, `running_system` and `filled_events` put real tokens and ids into the events of events/.
- `stand_in` makes an image for machines that cannot reach Amazon's registry.
"""
