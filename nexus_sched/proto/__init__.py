"""The gRPC interface `nexus.sched.v1`: generated messages (`worker_service_pb2`), and its calls by name (`service`).

The source is `proto/` at the top of the repository; `make proto` writes the messages anew.
"""
