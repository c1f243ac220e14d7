"""A stand-in for GitHub: one repository behind the REST API, on 127.0.0.1.

    with FakeGitHub(git=bare_repository) as github:
        pull = github.add_pull("more-memory", title="More memory")
        ...  # whatever speaks to github.url with one of github.tokens
        assert [comment.author for comment in github.comments(pull.number)] == [ACTIONS_BOT]

It knows nothing of what it is tested with: paths, bodies, codes and limits are those of
https://docs.github.com/rest (version 2022-11-28).

What it models
- branches, files, comparisons and trees are read from and written to a bare git repository, the
  one given or one of its own with a single commit; a branch that is pushed there moves its pull
  request, and commits that arrive on the base branch merge it
- pull requests, `refs/pull/N/head`, merges (a merge commit, or squashed), the pull requests of a
  commit; issues and pull requests in one row of numbers; comments, with who wrote and who edited
- GraphQL for the one thing that REST does not tell: who edited a comment last, and when
- the roles of people, and what reviewers said about the deployments of a run
- releases of tags
- labels, runs of workflows, environments with rules and names of secrets, those of the repository
  and its organization, rulesets with who bypasses them, the older branch protection, deployments and
  their statuses
- pages (30 by default, at most 100) with a Link header under `/repositories/ID`; 401, 403, 404,
  405, 409, 410, 422 as GitHub words them; limits of length
- who a token is and what it may: an account with permissions, spelt as in a workflow's
  `permissions:`; missing ones are 403 with X-Accepted-GitHub-Permissions. A private repository
  (the default) asks for reading too
- trouble, on demand: an answer with a status, a limit, an answer that is lost after its effect, a
  commit whose pull requests are not known yet

What it does not
- webhooks and workflows: nothing starts by itself; whoever plays GitHub does that
- reviews of pull requests, checks, rebase merges, test merges (`refs/pull/N/merge`, `merge_commit_sha` of an open
  pull request is null), branches of forks (a fork's pull request holds the commit it was given)
- enforcing rulesets, but for a file written past a rule that wants pull requests
- eventual consistency, conditional requests, other versions of the API, other queries of GraphQL
A route that is not there answers 501 and says so: it is never a quiet 404.
"""

from __future__ import annotations

from helpers.fake_github.github import FakeGitHub
from helpers.fake_github.state import ACTIONS_BOT, Account, Call, Comment, Issue, Pull

__all__ = ["ACTIONS_BOT", "Account", "Call", "Comment", "FakeGitHub", "Issue", "Pull"]
