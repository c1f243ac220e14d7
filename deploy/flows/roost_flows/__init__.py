"""The launcher of a flow server: it runs the user's command, sleeps when idle, and stops gracefully.

It needs the standard library only, because its memory is taken from the flows. Only `canary.py`
imports Prefect, in a process of its own, which ends.
"""
