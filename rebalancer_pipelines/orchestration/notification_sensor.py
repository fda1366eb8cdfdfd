"""Telling people: what delivers their messages.

Here: the sensor that empties the outbox. Not here: what is told (use cases), how it is sent (adapters).
"""

import dagster as dg

from rebalancer_pipelines.application.deliver_notifications import deliver_notifications
from rebalancer_pipelines.orchestration.resources import Rebalancer


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Delivers the messages that wait for people at the addresses of NOTIFY_URLS.",
)
def notifications(context: dg.SensorEvaluationContext, rebalancer: Rebalancer) -> dg.SkipReason:
    """Deliver what waits; what cannot be delivered is tried again later."""
    with rebalancer.ports() as ports:
        delivery = deliver_notifications(ports)
        if ports.notifier is None:
            return dg.SkipReason("nobody is told: NOTIFY_URLS is not set")
    for failure in delivery.failures:
        context.log.warning(failure)
    return dg.SkipReason("; ".join((f"{delivery.sent} delivered", *delivery.failures)))
