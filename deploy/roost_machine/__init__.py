"""What every machine of Roost needs, whatever it runs: Fly's socket, the machine's user, its end.

It is part of the server's image and of the images of flow servers, and imports neither.
"""
