"""How Hypothesis searches here: by number of examples, never by the speed of a machine that is busy."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "domain", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("domain")
