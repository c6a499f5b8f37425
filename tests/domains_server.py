"""A Domains service for tests: the test decides the answer to each request to delete a user."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc

from users.peers.proto.domains_pb2 import DeleteUserReq, DeleteUserRes

# Returns whether the user, by its id, is deleted from all domains.
Domains = Callable[[str, grpc.ServicerContext], bool]


@contextmanager
def domains(answer: Domains) -> Iterator[str]:
    """Yield the address of a Domains service that answers with this function."""

    def delete(request: DeleteUserReq, context: grpc.ServicerContext) -> DeleteUserRes:
        return DeleteUserRes(deleted=answer(request.id, context))

    method = grpc.unary_unary_rpc_method_handler(
        delete, request_deserializer=DeleteUserReq.FromString, response_serializer=DeleteUserRes.SerializeToString
    )
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("domains.v1.DomainsService", {"DeleteUserFromDomains": method})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
