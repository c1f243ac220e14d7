"""Verbs that GitHub's workflows run; one file each."""
