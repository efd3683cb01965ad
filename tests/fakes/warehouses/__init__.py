"""Strict protocol fakes of warehouses: Snowflake, BigQuery, Databricks, ClickHouse and Azure SQL.

Each fake speaks the public protocol of its service, refuses what the service refuses, and runs the
SQL for real: in an in-memory DuckDB, or in the engine that is the service's own. See README.md for the start
command, the control endpoint and the limits.
"""
