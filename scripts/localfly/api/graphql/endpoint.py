"""POST /graphql: parse, check and answer one operation, and report errors in GraphQL's form.

Operations are matched by their root fields, not by their names, which clients leave out.
graphql-core takes half a second to import, so the first request does it, in a thread.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from localfly.api.requests import ApiState, answer, read_json, require
from localfly.api_errors import ApiError

if TYPE_CHECKING:
    from graphql import ExecutionResult, GraphQLError

_LOG = logging.getLogger(__name__)
Json = dict[str, Any]
MOST_TOKENS = 2000  # flyctl's longest query has about 250
ABSENT = "The local Fly does not have it; see its README."
NO_WIREGUARD = (
    "The local Fly has no WireGuard, over which flyctl reaches machines. "
    "Run a command in one with `flyctl machine exec`, and open the address of `localfly status`."
)
_UNKNOWN = ("Cannot query field", "Unknown type", "Unknown argument")


async def serve_graphql(api: ApiState, request: Request) -> Response:
    """POST /graphql: `query`, `variables` and `operationName`; answers `data` and `errors`."""
    body = await read_json(request)
    require(body, query=str, variables=dict, operationName=str)
    if not body.get("query"):
        raise ApiError(400, "invalid_argument: query is required")
    await asyncio.to_thread(_load)
    return answer(_answer(api, body))


def _load() -> None:
    from localfly.api.graphql.schema import schema  # noqa: PLC0415 - see above

    schema()


def _answer(api: ApiState, body: Json) -> Json:
    """Return the answer to an operation; each error is one of its `errors`."""
    from graphql import GraphQLError, execute_sync, parse, validate  # noqa: PLC0415 - see above

    from localfly.api.graphql.mutations import root  # noqa: PLC0415 - see above
    from localfly.api.graphql.schema import schema  # noqa: PLC0415 - see above

    try:
        document = parse(body["query"], max_tokens=MOST_TOKENS)
        refused = validate(schema(), document)
    except GraphQLError as error:
        return {"errors": [error.formatted]}
    except RecursionError:
        return {"errors": [{"message": "the query is nested too deeply"}]}
    if refused:
        return {"errors": [_refusal(error) for error in refused]}
    done = execute_sync(
        schema(),
        document,
        root_value=root(api),
        variable_values=body.get("variables"),
        operation_name=body.get("operationName"),
    )
    return _show(done)


def _refusal(error: GraphQLError) -> Json:
    """Return an error of validation; what the schema here lacks is named as absent."""
    shown: Json = dict(error.formatted)
    if error.message.startswith(_UNKNOWN):
        absent = NO_WIREGUARD if "wireguard" in error.message.lower() else ABSENT
        shown["message"] = f"{error.message} {absent}"
    return shown


def _show(done: ExecutionResult) -> Json:
    errors = [_error(error) for error in done.errors or ()]
    return {"data": done.data, **({"errors": errors} if errors else {})}


def _error(error: GraphQLError) -> Json:
    """Return an error of execution; an unexpected one shows its kind, and is logged."""
    from graphql import GraphQLError  # noqa: PLC0415 - see above

    shown: Json = dict(error.formatted)
    cause = error.original_error
    if isinstance(cause, ApiError):
        codes = {404: "NOT_FOUND", 422: "UNPROCESSABLE"}
        shown["extensions"] = {"code": codes.get(cause.status, "BAD_REQUEST")}
    elif cause is not None and not isinstance(cause, GraphQLError):
        _LOG.error("GraphQL: %s", error.path, exc_info=cause)
        shown["message"] = f"internal: {type(cause).__name__}; see the daemon's log"
    return shown
