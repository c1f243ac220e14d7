"""The stored state of the local Fly: records, the SQLite file, the home folder."""
