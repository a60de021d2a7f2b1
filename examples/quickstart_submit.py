from nexus_sched import Client

with Client() as client:
    handle = client.submit("add", 1, 2)
    print(handle.result(timeout="30s"))
