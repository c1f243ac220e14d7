"""The server's image, built and booted without a Docker daemon: `./run image [VERSION]`."""
