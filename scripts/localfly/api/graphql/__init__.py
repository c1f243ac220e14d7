"""Fly's GraphQL: the part of it that flyctl needs beside the Machines API."""
