from nexus_sched import App

app = App()


@app.task
def add(a: int, b: int) -> int:
    return a + b
