"""A local API Gateway HTTP API and Lambda service, driven by the SAM template (`python -m local.gateway`).

template.py reads template.yaml into a Stack (stack.py). http_api.py serves its routes (routing.py, events.py,
responses.py, cors.py), lambda_api.py the Lambda Invoke API, schedules.py its schedules; all three invoke functions
through lambda_service.py, which keeps a pool.py of execution environments for each: process_environment.py (a worker
process, worker.py, forked by fork_server.py for worker_processes.py) or rie_environment.py (the Lambda Runtime
Interface Emulator). server.py runs it all.
"""
