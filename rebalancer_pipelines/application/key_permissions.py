"""What the key of an account may do: enough to trade, and never enough to take money away."""

from __future__ import annotations

from rebalancer_pipelines.application.ports import KeyPermissions
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError


def check_permissions(account: str, permissions: KeyPermissions) -> None:
    """Raise `DeniedError` (KEY_CAN_WITHDRAW, KEY_LACKS_PERMISSION) for a key that is not fit to trade with."""
    if permissions.can_withdraw:
        raise DeniedError(
            DenialReason.KEY_CAN_WITHDRAW,
            f"the key of account {account} may withdraw money, which trading never needs; make a key without that "
            "permission at the venue and use it instead",
        )
    if permissions.missing:
        raise DeniedError(
            DenialReason.KEY_LACKS_PERMISSION,
            f"the key of account {account} lacks {', '.join(permissions.missing)}; grant it to the key at the venue",
        )
