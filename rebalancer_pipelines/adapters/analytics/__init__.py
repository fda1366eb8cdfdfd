"""The marts: a dbt project over our tables, and what it takes to build it."""
