"""Build and boot the server's image without a Docker daemon: `./run image [VERSION]`."""
