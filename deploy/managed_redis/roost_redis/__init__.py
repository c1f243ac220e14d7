"""The launcher of a Redis that Roost deploys: its configuration, its health, its end.

It is the image of one machine with a volume, needs no package but Python, and imports no other image.
"""
