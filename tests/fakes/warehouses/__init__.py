"""Strict protocol fakes of cloud warehouses: Snowflake, BigQuery and Databricks.

Each fake speaks the public HTTP protocol of its service, refuses what the service refuses, and runs the
SQL for real in an in-memory DuckDB. See README.md for the start command, the control endpoint and the limits.
"""
