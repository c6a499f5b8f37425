"""What the operations of the Users service share.

Imports point one way: functions → ``edge`` → (``repository``, ``auth_client``, ``outbox``, ``passwords``) →
(``models``, ``errors``, ``settings``). A module imports a heavy package (psycopg, grpc, pydantic) only where its
subject is that package, so that a function pays at cold start for what its operation uses and for nothing else.
"""

import gc
import os

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # What imports make stays: looking for garbage in it is a twelfth of importing. `snapstart.prepare` ends this.
    gc.disable()
