"""The verbs that GitHub's workflows run: one file each."""
