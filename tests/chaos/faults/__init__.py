"""How each fault is done, by what it strikes: `schedulers`, `failpoints`, `workers`, `servers`, `network`, `load`.

A fault is a coroutine function of the stage. It strikes once, waits until tasks move again, and gives the seconds
that took: from the strike, or from the end of a fault that lasts. It gives `None` if it had no effect.
"""
