"""The local Fly: Fly's Machines API, proxy and machines, as local processes."""
