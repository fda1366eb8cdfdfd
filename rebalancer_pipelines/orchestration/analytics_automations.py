"""What builds the marts by itself: every night, and once a burst of rebalances is over.

Here: when somebody looks. Not here: the marts, their job and their condition (`analytics`): they load dbt, and who only
asks what runs by itself does not wait for that.
"""

import dagster as dg

ANALYTICS_GROUP = "analytics"
ANALYTICS_JOB = "analytics_build"
NO_RETRY_AND_AN_HOUR_AT_MOST = {"dagster/max_retries": "0", "dagster/max_runtime": "3600"}
"""Tags of every build, whoever asks for it."""

analytics_daily = dg.ScheduleDefinition(
    name="analytics_daily",
    job_name=ANALYTICS_JOB,
    cron_schedule="41 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Builds the marts every night, after the days have been valued.",
)

analytics_after_rebalances = dg.AutomationConditionSensorDefinition(
    "analytics_after_rebalances",
    target=dg.AssetSelection.groups(ANALYTICS_GROUP),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    run_tags=NO_RETRY_AND_AN_HOUR_AT_MOST,
    description="Builds the marts after rebalances and valued days: a minute after the last, an hour at most.",
)

ANALYTICS_AUTOMATIONS = (analytics_daily, analytics_after_rebalances)
"""Everything that runs by itself in the code location `rebalancer_analytics`."""
