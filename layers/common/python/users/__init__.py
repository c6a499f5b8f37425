"""The shared code of the Users service's operations.

Imports point one way: functions → ``steps`` → ``edge`` → ``repository`` → ``peers`` → ``rules`` → ``aws`` →
``telemetry`` → the modules of this folder. A module imports a heavy package (psycopg, grpc, pydantic) only if that
package is its subject, so that the cold start of a function loads only packages that its operation uses.
"""

import gc
import os

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Objects made during import live for ever. Collecting them costs 8 % of the import time. `snapstart.prepare` turns
    # the collection on again.
    gc.disable()
