"""Databricks Statement Execution API 2.0."""
