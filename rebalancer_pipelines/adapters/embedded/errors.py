"""The one error of the embedded services."""

from __future__ import annotations

from rebalancer_pipelines.domain.errors import RebalancerError


class EmbeddedServiceError(RebalancerError):
    """An embedded server cannot be used.

    The text is one line: what failed, where the log is (if there is one) and the remedy.
    """

    def __init__(self, message: str) -> None:
        """Keep `message`, folded into one line because servers like to report over several."""
        super().__init__(" ".join(message.split()))
