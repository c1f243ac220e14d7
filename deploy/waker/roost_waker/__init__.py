"""The waker: requests the address of each sleeping server when its next run is due.

Servers announce the time before they sleep. It needs no token: Fly's proxy starts a machine that is
requested. It imports the standard library and `roost_machine` only.
"""
