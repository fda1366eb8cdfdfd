"""The code server: how it is told that what the definitions are made of has changed."""

from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._grpc.client import DagsterGrpcClient

from rebalancer_pipelines.domain.errors import RebalancerError

_RELOAD_SECONDS = 60


def reload_definitions(port: int) -> None:
    """Let the code server on this machine load the definitions anew; webserver and daemon notice by themselves.

    Raises `RebalancerError` when it does not answer in time.
    """
    try:
        DagsterGrpcClient(host="127.0.0.1", port=port).reload_code(timeout=_RELOAD_SECONDS)
    except DagsterUserCodeUnreachableError as error:
        raise RebalancerError("Dagster's code server did not load the definitions anew; see its log") from error
